"""The progress endpoint of a stage process: both address families, and clients that misbehave."""

import json
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import ThreadingHTTPServer
from random import Random

import pytest
from tests.scale import scaled

from selfalign_stages import progress_server
from selfalign_stages.progress_server import ALL_INTERFACES, MOST_CONNECTIONS
from selfalign_stages.step.progress import ProgressMeter


def serve(host: str) -> ThreadingHTTPServer:
    meter = ProgressMeter()
    meter.begin(10, unit="rows")
    meter.advance(3)
    return progress_server.serve(meter, step="answers", host=host, port=0)


def port_of(server: ThreadingHTTPServer) -> int:
    return int(server.server_address[1])


def done(server: ThreadingHTTPServer, host: str = "127.0.0.1") -> float:
    """What a poller reads."""
    with urllib.request.urlopen(f"http://{host}:{port_of(server)}/progress", timeout=10) as response:
        return float(json.load(response)["done"])


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    running = serve(ALL_INTERFACES)
    yield running
    running.shutdown()
    running.server_close()


def test_all_interfaces_are_those_of_both_families(server: ThreadingHTTPServer) -> None:
    assert done(server, "127.0.0.1") == done(server, "[::1]") == 3


def test_a_kernel_without_ipv6_serves_over_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    server = serve(ALL_INTERFACES)
    try:
        assert server.socket.family == socket.AF_INET and done(server) == 3
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("host", "other"), [("127.0.0.1", "[::1]"), ("::1", "127.0.0.1")])
def test_a_loopback_address_is_served_alone(host: str, other: str) -> None:
    server = serve(host)
    try:
        assert done(server, f"[{host}]" if ":" in host else host) == 3
        with pytest.raises(OSError):
            done(server, other)
    finally:
        server.shutdown()
        server.server_close()


def test_clients_that_send_nothing_keep_nobody_else_waiting(server: ThreadingHTTPServer) -> None:
    with ExitStack() as silent:
        for _ in range(MOST_CONNECTIONS - 1):
            silent.enter_context(socket.create_connection(("127.0.0.1", port_of(server))))
        assert done(server) == 3


def test_connections_beyond_the_limit_are_closed_and_later_ones_served(server: ThreadingHTTPServer) -> None:
    with ExitStack() as silent:
        for _ in range(MOST_CONNECTIONS):
            silent.enter_context(socket.create_connection(("127.0.0.1", port_of(server))))
        refused = silent.enter_context(socket.create_connection(("127.0.0.1", port_of(server)), timeout=10))
        assert refused.recv(1) == b""
    # each thread ends once its client is gone
    for _ in range(MOST_CONNECTIONS):
        assert server._free.acquire(timeout=10)  # type: ignore[attr-defined]
    for _ in range(MOST_CONNECTIONS):
        server._free.release()  # type: ignore[attr-defined]
    assert done(server) == 3


def test_a_client_that_sends_nothing_is_disconnected(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server.RequestHandlerClass, "timeout", 0.05)
    for start in (b"", b"GET /prog", b"GET /progress HTTP/1.1\r\nHost"):
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as client:
            client.sendall(start)
            assert client.recv(1) == b""
    assert "Traceback" not in capfd.readouterr().err


REQUESTS = (b"GET /progress HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /metrics HTTP/1.0\r\n\r\n", b"GET /progress\r\n")
PIECES = (b"\x00", b"\xff", b"\r\n", b" ", b":", b"HTTP/9.9", b"HTTP/", b"POST", b"/" * 70_000, b"x: y\r\n" * 150)


def test_odd_requests_leave_the_server_serving_and_the_log_of_the_step_empty(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server.RequestHandlerClass, "timeout", 0.05)
    source = Random(7)
    for _ in range(scaled(60, 5000)):
        request = source.choice(REQUESTS)
        for _ in range(source.randint(0, 4)):
            at = source.randrange(len(request) + 1)
            request = (
                request[:at] + source.choice((*PIECES, source.randbytes(4))) + request[at + source.randint(0, 3) :]
            )
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as client:
            try:
                client.sendall(request)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
            except OSError:
                continue  # the server may close before it has read everything
    assert done(server) == 3
    assert capfd.readouterr().err == ""
