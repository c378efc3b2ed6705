"""A small HTTP server whose answers a test writes, for what no real registry does on request."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MANIFEST, CONFIG = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json"
INDEX, LAYER = "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Request:
    """A request that arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def authorization(self) -> str:
        """The Authorization header, "" without one."""
        return self.headers.get("authorization", "")


@dataclass(frozen=True)
class Reply:
    """An answer; `cut` closes the connection after that many bytes of the body, status 0 before any answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    challenges: tuple[str, ...] = ()
    cut: int | None = None


Script = Callable[[Request], Reply]


@dataclass
class Server:
    """Where it answers, over plain HTTP, and what arrived."""

    host: str
    requests: list[Request] = field(default_factory=list)

    @property
    def requested(self) -> list[str]:
        """Methods and paths of all requests."""
        return [f"{request.method} {request.path}" for request in self.requests]

    @property
    def text(self) -> str:
        """All that arrived, to search for a secret."""
        return repr(self.requests)


@contextmanager
def serve(script: Script) -> Iterator[Server]:
    """Runs a server until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, parts.path, parse_qs(parts.query), headers, body)
            running.requests.append(request)
            reply = script(request)
            if reply.status == 0:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in ({"Content-Length": str(len(reply.body))} | reply.headers).items():
                self.send_header(name, value)
            for challenge in reply.challenges:
                self.send_header("WWW-Authenticate", challenge)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body[: reply.cut])
            self.close_connection = reply.cut is not None

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Writes nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running = Server(f"127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def digest(data: bytes) -> str:
    """The digest of a blob."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def descriptor(data: bytes, media_type: str) -> dict[str, Any]:
    """The descriptor of a blob."""
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


@dataclass
class Image:
    """An image of one configuration and layers, as a registry answers for it."""

    layers: tuple[bytes, ...] = (b"first layer", b"second layer")
    config: bytes = b""

    def __post_init__(self) -> None:
        if not self.config:
            diff_ids = [digest(layer) for layer in self.layers]
            content = {"rootfs": {"type": "layers", "diff_ids": diff_ids}, "config": {"Labels": None}}
            self.config = json.dumps(content).encode()

    @property
    def manifest(self) -> bytes:
        """The manifest."""
        return json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": descriptor(self.config, CONFIG),
                "layers": [descriptor(layer, LAYER) for layer in self.layers],
            }
        ).encode()

    @property
    def objects(self) -> dict[str, bytes]:
        """What is stored, by the end of its path."""
        stored = {f"blobs/{digest(blob)}": blob for blob in (self.config, *self.layers)}
        return stored | {"manifests/1": self.manifest, f"manifests/{digest(self.manifest)}": self.manifest}

    def answer(self, request: Request) -> Reply:
        """The answer to a request that reads."""
        name = "/".join(request.path.split("/")[-2:])
        if request.method not in ("GET", "HEAD") or name not in self.objects:
            return Reply(404, b'{"errors": [{"code": "NOT_FOUND"}]}')
        data = self.objects[name]
        headers = {"Docker-Content-Digest": digest(data)}
        if name.startswith("manifests/"):
            headers["Content-Type"] = MANIFEST
        return Reply(200, data, headers)
