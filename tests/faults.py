"""What can go wrong with an HTTP request on its way: the vocabulary of tests.fault_proxy.

A rule chooses a fault per request. `always` and `in_turn` make the common rules; any function of that shape will do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from xml.sax.saxutils import escape


@dataclass(frozen=True)
class Cut:
    """Closes the connection after `after` bytes of the answer's body, whose Content-Length announced all of them.

    Attributes:
        after: bytes of the body that are sent.
        reset: closes with a TCP reset instead of an orderly end.
    """

    after: int
    reset: bool = False


@dataclass(frozen=True)
class Dropped:
    """Closes the connection without an answer.

    Attributes:
        forwarded: the server has carried out the request, and only its answer is lost. False: it never sees the
            request, whose body is not even read.
    """

    forwarded: bool = False


@dataclass(frozen=True)
class Stalled:
    """Sends the head and `after` bytes of the body, and then nothing until the client gives up.

    Attributes:
        after: None: sends not even the head.
    """

    after: int | None = 0


@dataclass(frozen=True)
class Slow:
    """Sends the body in pieces of `piece` bytes with `pause` seconds between them."""

    piece: int = 1000
    pause: float = 0.001


@dataclass(frozen=True)
class Wrong:
    """Flips the lowest bit of one byte.

    Attributes:
        at: position in the body, modulo its length. Empty bodies are left alone.
        sent: in the request's body, before the server sees it. False: in the answer's.
    """

    at: int = 0
    sent: bool = False


@dataclass(frozen=True)
class Altered:
    """Replaces the answer's body by what `body` makes of it, with a Content-Length that agrees.

    Attributes:
        body: gets the server's body.
        headers: added to the answer, in place of those with the same name.
    """

    body: Callable[[bytes], bytes]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Shortened:
    """Sends `to` bytes of the body with a Content-Length of `to`: a cut that no length of this answer reveals."""

    to: int


@dataclass(frozen=True)
class Unstated:
    """Sends the body without a Content-Length, and closes the connection where it ends.

    Attributes:
        after: closes after this many bytes of the body already, which nothing in this answer reveals. None: after all.
    """

    after: int | None = None


@dataclass(frozen=True)
class Stale:
    """Repeats the first answer to the same method and path, and does not ask the server; without one, asks it.

    For a GET with a Range after one without, it is the answer of a server that ignores Range.
    """


@dataclass(frozen=True)
class Repeated:
    """Asks the server twice, as a retry after a lost answer does, and passes on the second answer."""


@dataclass(frozen=True)
class Answer:
    """An answer of the test's own.

    Attributes:
        status: HTTP status.
        body: body; left out of answers to HEAD.
        headers: such as Retry-After.
        forwarded: the server has carried out the request before. False: it never sees it.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    forwarded: bool = False


Fault = Cut | Dropped | Stalled | Slow | Wrong | Altered | Shortened | Unstated | Stale | Repeated | Answer
Rule = Callable[[str, str, int, Mapping[str, str]], Fault | None]
"""Gets method, path with query, how many requests with the same method and path came before, and the headers by
lower-case name. None: the request passes unharmed. Called by several threads at once."""


def s3_error(
    status: int,
    code: str,
    message: str = "made by a test",
    *,
    headers: Mapping[str, str] | None = None,
    details: Mapping[str, str] | None = None,
    forwarded: bool = False,
) -> Answer:
    """An error answer as S3 sends it.

    Args:
        status: HTTP status.
        code: error code, such as SlowDown.
        message: text for people.
        headers: further headers, such as Retry-After.
        details: further elements beside Code and Message, such as Region.
        forwarded: the server has carried out the request before.
    """
    elements = {"Code": code, "Message": message, **(details or {})}
    inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in elements.items())
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error>{inner}</Error>'.encode()
    return Answer(status, body, {"Content-Type": "application/xml", **(headers or {})}, forwarded)


def always(method: str, within: str, fault: Fault) -> Rule:
    """A rule: every request with this method and `within` in its path gets `fault`."""
    return lambda verb, path, number, headers: fault if verb == method and within in path else None


def in_turn(method: str, within: str, *faults: Fault | None) -> Rule:
    """A rule: requests with this method and `within` in their path get these faults one after the other, then none."""
    left, lock = list(faults), Lock()

    def rule(verb: str, path: str, number: int, headers: Mapping[str, str]) -> Fault | None:
        if verb != method or within not in path:
            return None
        with lock:
            return left.pop(0) if left else None

    return rule
