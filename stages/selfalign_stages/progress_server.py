"""Serves /progress and /metrics of a stage process on one port; the operator and a Prometheus scrape read the same."""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from selfalign_stages.step.progress import ProgressMeter


class ProgressCollector(Collector):
    """Turns a step's progress into gauges labelled with its step."""

    def __init__(self, progress: ProgressMeter, step: str) -> None:
        self._progress, self._step = progress, step

    def collect(self) -> list[GaugeMetricFamily]:
        """Gauges of this moment."""
        value = self._progress.value
        figures = {"done": value.done, "total": value.total, "rate": value.rate}
        figures |= {f"metric_{name}": float(x) for name, x in value.metrics.items() if not isinstance(x, str)}
        found = []
        for name, number in figures.items():
            family = GaugeMetricFamily(f"selfalign_step_{name}", f"{name} of the running step", labels=["step", "unit"])
            family.add_metric([self._step, value.unit], number)
            found.append(family)
        return found


class QuietServer(ThreadingHTTPServer):
    """Says nothing of a poller that hangs up before it is answered: that would fill the step's log."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Keeps everything but broken connections loud."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def serve(progress: ProgressMeter, *, step: str, host: str, port: int) -> ThreadingHTTPServer:
    """Starts answering in a daemon thread; `port` 0 takes a free one."""
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

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keeps polls out of the step's log."""

    server = QuietServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
