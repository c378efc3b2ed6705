"""An HTTP proxy in front of a real server that damages, loses, delays and repeats what passes through it.

Clients are pointed at the proxy, and a rule chooses per request what goes wrong:

    with fault_proxy.serve(s3.endpoint, faults.in_turn("GET", "/part", Cut(100), None, Cut(7))) as proxy:
        store = open_store(location.model_copy(update={"endpoint": proxy.endpoint}))

tests.faults has what can go wrong.

The Host header is passed on as it came. S3 signatures therefore stay valid, because clients sign the proxy's HOST:PORT
and servers check what they receive, and a registry's Location headers lead back to the proxy.

Bodies are in memory, whole, so that a fault can be placed at any byte of them.
"""

import http.client
import os
import select
import socket
import struct
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import urlsplit

from tests.faults import (
    Altered,
    Answer,
    Cut,
    Dropped,
    Fault,
    Repeated,
    Rule,
    Shortened,
    Slow,
    Stale,
    Stalled,
    Unstated,
    Wrong,
)

OF_THE_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "expect", "proxy-connection")
"""Headers that concern one connection. Bodies are passed on with a Content-Length, or in chunks if they came so."""


@dataclass(frozen=True)
class Request:
    """A request that arrived, harmed or not.

    Attributes:
        method: HTTP method.
        path: path with query.
        headers: by lower-case name.
    """

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass
class Proxy:
    """Where the proxy answers, and what it was asked.

    Attributes:
        endpoint: http://HOST:PORT.
        requests: in order of arrival.
    """

    endpoint: str
    requests: list[Request] = field(default_factory=list)

    def count(self, method: str, within: str = "") -> int:
        """Requests so far with this method and `within` in their path."""
        return sum(request.method == method and within in request.path for request in list(self.requests))


@contextmanager
def serve(upstream_url: str, faults: Rule, *, host: str = "127.0.0.1") -> Iterator[Proxy]:
    """Runs the proxy until the block ends.

    Args:
        upstream_url: http://HOST:PORT of the real server.
        faults: chooses what goes wrong with a request.
        host: address to listen at.
    """
    proxy, state = Proxy(endpoint=""), _State(urlsplit(upstream_url).netloc)

    class Handler(_Handler):
        def _handle(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            with state.lock:
                number = state.arrived[self.command, self.path]
                state.arrived[self.command, self.path] += 1
                proxy.requests.append(Request(self.command, self.path, headers))
            try:
                self.answer(faults(self.command, self.path, number, headers), state)
            except (OSError, http.client.HTTPException):
                # Clients give up in the midst of an answer, and the server behind may be gone: no answer either.
                self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_OPTIONS = _handle

    with _Server((host, 0), Handler) as server:
        proxy.endpoint = f"http://{host}:{server.server_port}"
        # Polled more often than by default, because tests wait for its end.
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield proxy
        finally:
            state.ended.set()
            server.shutdown()


@dataclass
class _State:
    """What the threads of a proxy share."""

    upstream: str
    lock: Lock = field(default_factory=Lock)
    arrived: "Counter[tuple[str, str]]" = field(default_factory=Counter)
    first: "dict[tuple[str, str], Answer]" = field(default_factory=dict)
    ended: Event = field(default_factory=Event)


class _Server(ThreadingHTTPServer):
    # Connections that wait to be accepted: pools of clients open many at once.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints only what is no broken connection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests, with one fault each."""

    protocol_version = "HTTP/1.1"
    # Head and body are written separately; Nagle's algorithm would hold back the body for 40 ms.
    disable_nagle_algorithm = True

    def answer(self, fault: Fault | None, state: _State) -> None:
        """Forwards one request, if the fault lets it, and answers it."""
        if isinstance(fault, Dropped) and not fault.forwarded:
            self._hang_up()
            return
        body = self._read_body()
        if isinstance(fault, Answer):
            if fault.forwarded:
                self._forward(body, state)
            self._send(fault)
            return
        if isinstance(fault, Wrong) and fault.sent:
            body, fault = _flipped(body, fault.at), None
        if isinstance(fault, Stale) and (self.command, self.path) in state.first:
            answer = state.first[self.command, self.path]
        else:
            answer = self._forward(body, state)
        match fault:
            case Repeated():
                self._send(self._forward(body, state))
            case Dropped():
                self._hang_up()
            case Cut(after, reset):
                self._send(answer, upto=after)
                self._hang_up(reset=reset)
            case Stalled(after):
                if after is not None:
                    self._send(answer, upto=after)
                self._wait_for_the_client(state)
            case Slow(piece, pause):
                self._send(answer, upto=0)
                for start in range(0, len(answer.body), piece):
                    state.ended.wait(pause)
                    self.wfile.write(answer.body[start : start + piece])
            case Wrong(at):
                self._send(Answer(answer.status, _flipped(answer.body, at), answer.headers))
            case Shortened(to):
                shorter = answer.body[:to]
                self._send(Answer(answer.status, shorter, {**answer.headers, "content-length": str(len(shorter))}))
            case Unstated(after):
                self._send(answer, upto=after, stated=False)
                self._hang_up()
            case Altered(change, added):
                changed = change(answer.body)
                own = {name.lower(): value for name, value in added.items()}
                headers = {**answer.headers, "content-length": str(len(changed)), **own}
                self._send(Answer(answer.status, changed, headers))
            case _:
                self._send(answer)

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            """Trailers are dropped."""
        return body

    def _forward(self, body: bytes, state: _State) -> Answer:
        connection = http.client.HTTPConnection(state.upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in OF_THE_CONNECTION:
                    connection.putheader(name, value)
            chunked = "Transfer-Encoding" in self.headers
            if chunked:
                connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders(iter([body]) if chunked else body or None, encode_chunked=chunked)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        headers = {
            name.lower(): value for name, value in response.getheaders() if name.lower() not in OF_THE_CONNECTION
        }
        answer = Answer(response.status, content, headers)
        with state.lock:
            state.first.setdefault((self.command, self.path), answer)
        return answer

    def _send(self, answer: Answer, *, upto: int | None = None, stated: bool = True) -> None:
        """Sends head and body, or `upto` bytes of the body. The head states the length of the whole body, or none."""
        self.send_response_only(answer.status)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        # The Content-Length of an answer to HEAD is that of the object.
        if self.command != "HEAD" or "content-length" not in headers:
            headers["content-length"] = headers.get("content-length", str(len(answer.body)))
        if answer.status in (204, 304) or not stated:
            headers.pop("content-length")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[:upto])

    def _hang_up(self, *, reset: bool = False) -> None:
        if reset:
            # Closing with a linger time of zero sends RST. The descriptor is closed here, because the server would send
            # an orderly FIN first.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
        self.close_connection = True

    def _wait_for_the_client(self, state: _State) -> None:
        self.close_connection = True
        while not state.ended.wait(0.01):
            readable, _, _ = select.select([self.connection], [], [], 0)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                return

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def _flipped(body: bytes, at: int) -> bytes:
    if not body:
        return body
    at %= len(body)
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
