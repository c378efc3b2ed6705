"""Progress of pods over HTTP: what answers in time and in form counts, everything else is left out."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import aiohttp
import pytest

from selfalign_operator.cluster import polling
from selfalign_operator.jobs.pod import PORT
from selfalign_stages import progress_server
from selfalign_stages.contract.task import Progress
from selfalign_stages.step.progress import ProgressMeter

GOOD, BROKEN, HUGE, SILENT, NOBODY = (f"127.0.54.{number}" for number in range(1, 6))


def pod(name: str, address: str | None, *, phase: str = "Running") -> dict[str, Any]:
    status = {"phase": phase} | ({"podIP": address} if address else {})
    return {"metadata": {"name": name}, "status": status}


def poll(*pods: dict[str, Any]) -> dict[str, Progress]:
    async def once() -> dict[str, Progress]:
        async with aiohttp.ClientSession() as session:
            return await polling.poll(session, pods)

    return asyncio.run(once())


@pytest.fixture(scope="module")
def good() -> Iterator[str]:
    """A stage process that has done 3 of 10."""
    meter = ProgressMeter()
    meter.begin(10, unit="rows")
    meter.advance(3)
    server = progress_server.serve(meter, step="answers", host=GOOD, port=PORT)
    yield GOOD
    server.shutdown()
    server.server_close()


def _serve(address: str, body: bytes) -> HTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                self.wfile.write(body)
            except ConnectionError:
                pass  # the poller reads no more than it accepts

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = HTTPServer((address, PORT), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def bad() -> Iterator[None]:
    """Pods that serve something else, far too much, or nothing."""
    servers = [
        _serve(BROKEN, b"<html>"),
        _serve(HUGE, b'{"done": 1, "total": 2, "unit": "' + b"x" * (1 << 20) + b'"}'),
    ]
    with socket.socket() as silent:
        silent.bind((SILENT, PORT))
        silent.listen()
        yield
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_running_pod_is_asked_for_its_progress(good: str) -> None:
    progress = poll(pod("one", good))
    assert (progress["one"].done, progress["one"].total, progress["one"].unit) == (3, 10, "rows")


def test_pods_that_do_not_run_or_have_no_address_are_not_asked(good: str) -> None:
    assert poll(pod("ended", good, phase="Succeeded"), pod("pending", None, phase="Pending"), pod("new", None)) == {}


def test_one_bad_pod_costs_its_own_progress_alone(good: str, bad: None) -> None:
    pods = [pod(name, name) for name in (BROKEN, HUGE, SILENT, NOBODY)]
    assert set(poll(*pods, pod("one", good))) == {"one"}


def test_an_ipv6_address_stands_in_brackets() -> None:
    meter = ProgressMeter()
    meter.begin(1, unit="rows")
    try:
        server = progress_server_v6(meter)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    try:
        assert set(poll(pod("six", "::1"))) == {"six"}
    finally:
        server.shutdown()
        server.server_close()


def progress_server_v6(meter: ProgressMeter) -> HTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = meter.value.model_dump_json(by_alias=True).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    class Server(HTTPServer):
        address_family = socket.AF_INET6

    server = Server(("::1", PORT), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
