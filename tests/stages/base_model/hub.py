"""A local stand-in for a Hugging Face Hub, for the real client, with faults on request.

It implements the part of the HTTP API that huggingface_hub uses to list and download a model. Large files (`large`)
are redirected to a content address that supports range requests, as on the real Hub.
"""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" * 6 + "c0ff"
RESOLVE = re.compile(r"(?P<dataset>/datasets)?/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
API = re.compile(r"/api/(models|(?P<dataset>datasets))/(?P<repo>[^/]+/[^/]+)/(revision|tree)/(?P<revision>[^/?]+)")
LARGE = (".safetensors", ".bin", ".pt")
LISTING = "the listing"
PAGE = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>"


@dataclass
class HubState:
    """The files and faults of the hub, and the requests that it has received."""

    files: dict[str, bytes]
    repository: str = "harbour/lantern"
    dataset: bool = False
    """Whether the repository is a data set and no model."""
    token: str | None = None
    expired: set[str] = field(default_factory=set)
    """Tokens that were valid once."""
    gated: bool = False
    down: bool = False
    cut: set[str] = field(default_factory=set)
    """Large files whose transfer breaks off half-way, the first time only."""
    damaged: set[str] = field(default_factory=set)
    """Large files that arrive with a flipped byte."""
    pages: set[str] = field(default_factory=set)
    """Files, or LISTING, in whose place a login page is sent, with the status of success."""
    bodies: dict[str, bytes] = field(default_factory=dict)
    """What is sent instead of these files, under their headers; LISTING is the listing."""
    change: Callable[[dict[str, Any]], Any] = lambda listing: listing
    """Makes another listing of the right one."""
    redirects: dict[str, str] = field(default_factory=dict)
    """Addresses of other servers that files, or LISTING, are redirected to."""
    headers: dict[str, str] = field(default_factory=dict)
    """Added to every answer."""
    silent: bool = False
    """Accepts requests and does not answer until the block ends."""
    tokens: list[str | None] = field(default_factory=list)
    """The Authorization of every request."""
    go_on: threading.Event = field(default_factory=threading.Event)
    """Transfers of large files wait until it is set."""
    waiting: threading.Event = field(default_factory=threading.Event)
    """Set when a transfer of a large file starts."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of every request."""
    address: str = ""
    ended: threading.Event = field(default_factory=threading.Event)
    contents: str = ""
    """Address of large files: another host name, since the client follows redirects within one host by itself."""

    def large(self, name: str) -> bool:
        """Whether a file is stored outside the repository, as by Git LFS."""
        return name.endswith(LARGE)

    def by_digest(self, digest: str) -> tuple[str, bytes] | None:
        """The large file of a SHA-256."""
        for name, data in self.files.items():
            if hashlib.sha256(data).hexdigest() == digest:
                return name, data
        return None

    def paths(self) -> list[str]:
        """Paths of the files that were requested."""
        return [match["path"] for _, path in self.requests if (match := RESOLVE.fullmatch(path))]


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[HubState]:
    """Runs a hub with one repository until the block ends."""
    state = HubState(files=dict(files))
    state.go_on.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    state.address = f"http://127.0.0.1:{server.server_port}"
    state.contents = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        state.go_on.set()
        state.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def blob_id(data: bytes) -> str:
    """Git's object id of a file's content (gitformat: "blob SIZE NUL content")."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _handler(state: HubState) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            state.requests.append((self.command, path))
            state.tokens.append(self.headers.get("Authorization"))
            if state.silent:
                state.ended.wait()
                self.close_connection = True
                return None
            if state.down:
                return self._answer(503, b"busy")
            if path.startswith("/content/"):
                return self._content(path.removeprefix("/content/"))
            match = API.fullmatch(path) or RESOLVE.fullmatch(path)
            if match is None or self._refused(match):
                return None if match else self._answer(404, b"")
            name = match.groupdict().get("path", LISTING)
            if name in state.pages:
                return self._answer(200, PAGE, {"Content-Type": "text/html"})
            if name in state.redirects:
                return self._answer(302, b"", {"Location": state.redirects[name] + self.path})
            if name != LISTING:
                return self._resolve(name)
            body = state.bodies.get(LISTING, json.dumps(state.change(listing(state))).encode())
            return self._answer(200, body, {"Content-Type": "application/json"})

        def _refused(self, match: re.Match[str]) -> bool:
            sent = self.headers.get("Authorization", "").removeprefix("Bearer ")
            known = match["repo"] == state.repository and bool(match["dataset"]) == state.dataset
            if sent in state.expired:
                self._answer(401, b"", {"X-Error-Message": 'User Access Token "ci" is expired'})
            elif not known or (state.token and sent != state.token):
                self._answer(404 if sent else 401, b"", {"X-Error-Code": "RepoNotFound"})
            elif state.gated:
                self._answer(403, b"", {"X-Error-Code": "GatedRepo"})
            elif match["revision"] != COMMIT:
                self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
            else:
                return False
            return True

        def _resolve(self, name: str) -> None:
            data = state.files.get(name)
            if data is None:
                return self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            if not state.large(name):
                body = state.bodies.get(name, data) if self.command == "GET" else data
                return self._answer(200, body, {"ETag": f'"{blob_id(data)}"', "X-Repo-Commit": COMMIT})
            digest = hashlib.sha256(data).hexdigest()
            headers = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data)), "X-Repo-Commit": COMMIT}
            return self._answer(302, b"", headers | {"Location": f"{state.contents}/content/{digest}"})

        def _content(self, digest: str) -> None:
            file = state.by_digest(digest)
            if file is None:
                return self._answer(404, b"")
            name, data = file
            if self.command == "GET":
                state.waiting.set()
                state.go_on.wait()
            if name in state.damaged:
                data = data[:-1] + bytes([data[-1] ^ 1])
            data = state.bodies.get(name, data)
            byte_range = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if byte_range is None:
                return self._answer(200, data, {"Accept-Ranges": "bytes"}, cut=name in state.cut, name=name)
            first, last = int(byte_range[1]), int(byte_range[2] or len(data) - 1)
            part = data[first : last + 1]
            headers = {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(data)}"}
            return self._answer(206, part, headers)

        def _answer(
            self,
            status: int,
            body: bytes,
            headers: Mapping[str, str] | None = None,
            *,
            cut: bool = False,
            name: str = "",
        ) -> None:
            self.send_response(status)
            for key, value in {**(headers or {}), **state.headers}.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if cut:
                state.cut.discard(name)
                body = body[: len(body) // 2]
                self.close_connection = True
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Logs nothing, to keep the tests' output readable."""

    return Handler


def listing(state: HubState) -> dict[str, Any]:
    """What the hub answers to a request for its repository's files."""
    siblings = []
    for name, data in state.files.items():
        entry: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": blob_id(data)}
        if state.large(name):
            entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        siblings.append(entry)
    return {"id": state.repository, "sha": COMMIT, "siblings": siblings}
