"""Progress of a local process: read from its port, whatever else has taken the port meanwhile."""

import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from selfalign_operator.local.process import StageProcess

DOCUMENT = b'{"done": 1, "total": 2, "unit": "rows"}'


@contextmanager
def port_that_answers(answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A local port, and the requests that it receives."""
    requests: list[bytes] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            requests.append(self.request.recv(4096))
            self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1], requests
        server.shutdown()


@pytest.fixture
def popen() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        yield process


def response(head: str, body: bytes = DOCUMENT) -> bytes:
    return f"HTTP/1.1 {head}\r\nConnection: close\r\n\r\n".encode() + body


def test_progress_is_read_from_the_port_of_the_process(popen: subprocess.Popen[bytes]) -> None:
    with port_that_answers(response("200 OK")) as (port, _):
        progress = StageProcess(popen, port).progress()
    assert progress is not None and progress.total == 2


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_leads_nowhere(popen: subprocess.Popen[bytes], code: int) -> None:
    with port_that_answers(response("200 OK")) as (elsewhere, requests):
        moved = response(f"{code} Moved\r\nLocation: http://127.0.0.1:{elsewhere}/progress")
        with port_that_answers(moved) as (port, redirected):
            assert StageProcess(popen, port).progress() is None and redirected
        assert requests == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"\x00" * 100,
        response("200 OK\r\nTransfer-Encoding: chunked", b"zz\r\n"),
        response("200 OK\r\nX: " + "x" * 100_000),
        response("200 OK", b"[" * 60_000),
        response("500 Internal Server Error"),
    ],
)
def test_an_odd_answer_is_no_progress(popen: subprocess.Popen[bytes], answer: bytes) -> None:
    with port_that_answers(answer) as (port, _):
        assert StageProcess(popen, port).progress() is None


def test_a_proxy_is_not_asked(popen: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    with port_that_answers(response("200 OK")) as (proxy, proxied), port_that_answers(response("200 OK")) as (port, _):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        assert StageProcess(popen, port).progress() is not None
    assert proxied == []
