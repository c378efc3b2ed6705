"""Serves the progress of a stage process over HTTP: /progress as JSON, /metrics in Prometheus' text format.

The operator polls /progress, Prometheus scrapes /metrics, and both read one value, so that they cannot disagree. Pods
are polled instead of writing to the API server themselves: they need no credentials for it, and a thousand busy pods
cause no writes to etcd.
"""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from selfalign_stages.step.progress import ProgressMeter


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
    """A server that does not log clients which close the connection early: pollers with short timeouts do so often."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Logs every error but broken connections."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def serve(progress: ProgressMeter, *, step: str, host: str, port: int) -> ThreadingHTTPServer:
    """Starts the server in a daemon thread.

    Args:
        progress: what the step reports.
        step: step id, for the metrics' label.
        host: address to listen on.
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

    server = QuietServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
