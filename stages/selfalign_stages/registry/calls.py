"""Requests to a registry and what comes back, apart from how they are sent."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import httpx

CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
"""Longest waits for a connection, and for each part of a transfer; a whole transfer may take any time."""
COMMIT_SECONDS = 900.0
"""Longest wait for the answer to a whole upload: before it, registries move a large blob to its place or scan it, and
those above object stores take minutes."""
BLOCK_BYTES = 1 << 20
BROKEN = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)
"""Everything that httpx raises while it sends and reads."""
Body = bytes | Callable[[], Iterable[bytes]]
"""Body of a request; a function opens it anew each time that it is sent."""


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        method: HTTP method.
        url: where to; credentials are added only at the registry's origin.
        headers: without Authorization.
        body: None for none.
        read_seconds: longest wait for its answer and each part of that.
    """

    method: str
    url: httpx.URL
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    read_seconds: float = READ_SECONDS

    @property
    def timeout(self) -> httpx.Timeout:
        """Its time limits as httpx takes them."""
        return httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, read=self.read_seconds)

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice is the same as sending it once (RFC 9110, section 9.2.2)."""
        return self.method != "POST"


@dataclass(frozen=True)
class Answer:
    """A response without its content.

    Attributes:
        status: HTTP status.
        headers: as received.
        url: what answered, after redirects.
        excerpt: beginning of an error's text, printable and without secrets.
    """

    status: int
    headers: httpx.Headers
    url: httpx.URL
    excerpt: str = ""

    @property
    def success(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300


def read(response: httpx.Response, limit: int) -> bytes:
    """Reads a response's content, up to `limit` bytes and one more, which shows that there are more."""
    data = bytearray()
    for block in response.iter_raw(BLOCK_BYTES):
        data += block
        if len(data) > limit:
            break
    return bytes(data[: limit + 1])
