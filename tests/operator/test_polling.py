"""Progress of pods over HTTP: what answers in time and in form counts, everything else is left out."""

import asyncio
import gzip
import socket
import socketserver
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import aiohttp
import pytest

from selfalign_operator.cluster import polling
from selfalign_operator.jobs.pod import ALL_INTERFACES, PORT
from selfalign_stages import progress_server
from selfalign_stages.contract.task import Progress
from selfalign_stages.step.progress import ProgressMeter

GOOD, BROKEN, HUGE, SILENT, NOBODY = (f"127.0.54.{number}" for number in range(1, 6))
DOCUMENT = b'{"done": 1, "total": 2, "unit": "rows"}'


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


@contextmanager
def answering(*segments: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server that sends these bytes to whoever connects; yields its port and the requests that it receives."""
    requests: list[bytes] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            requests.append(self.request.recv(4096))
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for segment in segments:
                try:
                    self.request.sendall(segment)
                except ConnectionError:
                    return  # the poller reads no more than it accepts

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1], requests
        server.shutdown()


Asking = Callable[..., dict[str, Progress]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Asking:
    """Polls one pod whose stage process listens on another port: a test session beside this one may have PORT."""

    def at(port: int, address: str = "127.0.0.1") -> dict[str, Progress]:
        monkeypatch.setattr(polling, "PORT", port)
        return poll(pod("one", address))

    return at


def response(head: str, body: bytes = DOCUMENT) -> bytes:
    return f"HTTP/1.1 {head}\r\nConnection: close\r\n\r\n".encode() + body


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_leads_nowhere(ask: Asking, code: int) -> None:
    with answering(response("200 OK")) as (elsewhere, requests):
        moved = response(f"{code} Moved\r\nLocation: http://127.0.0.1:{elsewhere}/progress")
        with answering(moved) as (port, redirected):
            assert ask(port) == {} and redirected
        assert requests == []


@pytest.mark.parametrize(
    "answer",
    [
        response("201 Created"),
        response("204 No Content", b""),
        response("206 Partial Content"),
        response("404 Not Found"),
        response("500 Internal Server Error"),
        response("200 OK\r\nContent-Encoding: gzip", gzip.compress(DOCUMENT)),
        response("200 OK\r\nContent-Encoding: gzip", gzip.compress(DOCUMENT.ljust(1 << 26))),
        response("200 OK\r\nContent-Encoding: deflate", zlib.compress(DOCUMENT)),
        response("200 OK\r\nContent-Encoding: br"),
        response("200 OK", DOCUMENT[:-1]),
        response("200 OK\r\nContent-Length: 500"),
        response("200 OK\r\nContent-Length: -1"),
        response("200 OK\r\nTransfer-Encoding: chunked", b"zz\r\n"),
        response("200 OK\r\nX: " + "x" * 100_000),
        response("200 OK", b"[" * 60_000),
        response("200 OK", b'{"done": 1e999, "total": 2, "unit": "rows"}'),
        response("200 OK", b'{"done": 1, "total": 2, "unit": "\\ud800"}'),
        b"SSH-2.0-OpenSSH_9\r\n",
        b"\x00" * 100,
        b"",
    ],
    ids=lambda answer: answer[:60].decode(errors="replace"),
)
def test_an_odd_answer_is_no_progress(ask: Asking, answer: bytes) -> None:
    with answering(answer) as (port, requests):
        assert ask(port) == {} and requests


def test_a_document_may_come_in_segments(ask: Asking) -> None:
    whole = response("200 OK")
    with answering(*(whole[at : at + 20] for at in range(0, len(whole), 20))) as (port, _):
        assert ask(port)["one"].total == 2


def test_a_document_as_long_as_the_limit_is_read_and_a_longer_one_is_not(ask: Asking) -> None:
    for size, names in ((polling.LIMIT_BYTES, {"one"}), (polling.LIMIT_BYTES + 1, set())):
        with answering(response("200 OK", DOCUMENT.ljust(size))) as (port, _):
            assert set(ask(port)) == names


def test_neither_compression_nor_a_proxy_is_asked_for(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(response("200 OK")) as (proxy, proxied), answering(response("200 OK")) as (port, requests):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        assert set(ask(port)) == {"one"}
    assert proxied == [] and b"Accept-Encoding: identity\r\n" in requests[0]


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1/elsewhere?", "user@127.0.0.1", "127.1", "::1%a/b", "é"])
def test_what_is_no_address_is_not_asked(ask: Asking, address: str) -> None:
    with answering(response("200 OK")) as (port, requests):
        assert ask(port, address) == {} and requests == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_pod_is_asked_over_either_address_family(ask: Asking, address: str) -> None:
    meter = ProgressMeter()
    meter.begin(1, unit="rows")
    server = progress_server.serve(meter, step="answers", host=ALL_INTERFACES, port=0)
    try:
        assert set(ask(server.server_address[1], address)) == {"one"}
    finally:
        server.shutdown()
        server.server_close()
