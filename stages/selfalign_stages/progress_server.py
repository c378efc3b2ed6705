"""Serves the progress of a stage process over HTTP: /progress as JSON, /metrics in Prometheus' text format.

The operator polls /progress, Prometheus scrapes /metrics, and both read one value, so that they cannot disagree. Pods
are polled instead of writing to the API server themselves: they need no credentials for it, and a thousand busy pods
cause no writes to etcd.
"""

import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from selfalign_stages.step.progress import ProgressMeter

ALL_INTERFACES = "::"
"""Host that stands for all interfaces, over IPv6 and IPv4."""
TIMEOUT_SECONDS = 5
"""How long a client may send nothing, or take nothing, before its connection is closed."""
SHUTDOWN_SECONDS = 0.1
"""Between two checks for `shutdown`, which every step waits for at its end; the library's default is 0.5."""
MOST_CONNECTIONS = 32
"""Connections at a time; more are closed at once. Each has a thread, and threads count against the limits of the step
(pids, memory), which must not fail because somebody opens connections to its port."""


class ProgressCollector(Collector):
    """Exposes a step's progress as gauges `selfalign_step_*` with labels `step` and `unit`.

    Values are read at every scrape, not copied when they change, so that a step pays nothing for being observed.

    Args:
        progress: what the step reports.
        step: step id, the value of label `step`.
    """

    def __init__(self, progress: ProgressMeter, step: str) -> None:
        self._progress, self._step = progress, step

    def collect(self) -> list[GaugeMetricFamily]:
        """Returns the gauges at this moment: done, total, rate, and one per numeric metric of the step."""
        state = self._progress.value
        values = {"done": state.done, "total": state.total, "rate": state.rate}
        values |= {f"metric_{name}": float(x) for name, x in state.metrics.items() if not isinstance(x, str)}
        families = []
        for name, value in values.items():
            family = GaugeMetricFamily(f"selfalign_step_{name}", f"{name} of the running step", labels=["step", "unit"])
            family.add_metric([self._step, state.unit], value)
            families.append(family)
        return families


class QuietServer(ThreadingHTTPServer):
    """A server that does not log clients which close the connection early: pollers with short timeouts do so often.

    Args:
        host: address to listen on, ALL_INTERFACES or any other of either family.
        port: 0 takes a free port.
        handler: handles the requests.

    Raises:
        OSError: the port is in use, or the address is none of this machine.
    """

    request_queue_size = MOST_CONNECTIONS
    """Connections that the kernel accepts before the server does."""

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        both = host == ALL_INTERFACES and socket.has_dualstack_ipv6()
        # A kernel without IPv6 has no address ::, and its pods have IPv4 addresses only.
        host = "0.0.0.0" if host == ALL_INTERFACES and not both else host
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._dual_stack = both
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        """Binds for both families if asked to.

        HTTPServer would look its own name up as well, which takes long where DNS does not respond.
        """
        if self._dual_stack:
            # Some distributions make sockets IPv6 only by default (net.ipv6.bindv6only).
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts a thread for the connection, or closes it if there are too many."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Handles the connection, in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Logs every error but broken and silent connections."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def serve(progress: ProgressMeter, *, step: str, host: str, port: int) -> ThreadingHTTPServer:
    """Starts the server in a daemon thread.

    Args:
        progress: what the step reports.
        step: step id, for the metrics' label.
        host: address to listen on; ALL_INTERFACES stands for all of both families.
        port: 0 takes a free port; the server's `server_address` has its number.

    Returns:
        The running server. Call `shutdown` and `server_close` to end it.

    Raises:
        OSError: the port is in use, or the address is none of this machine.
    """
    # A registry of its own: the default one has metrics of this process that belong to no step.
    registry = CollectorRegistry()
    registry.register(ProgressCollector(progress, step))

    class Handler(BaseHTTPRequestHandler):
        timeout = TIMEOUT_SECONDS

        def do_GET(self) -> None:
            if self.path == "/progress":
                self._answer(progress.value.model_dump_json(by_alias=True).encode(), "application/json")
            elif self.path == "/metrics":
                self._answer(generate_latest(registry), "text/plain; version=0.0.4")
            else:
                self.send_error(404)

        def _answer(self, body: bytes, content_type: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Logs nothing: a request every few seconds would bury the step's own log."""

    server = QuietServer(host, port, Handler)
    threading.Thread(target=server.serve_forever, args=(SHUTDOWN_SECONDS,), daemon=True).start()
    return server
