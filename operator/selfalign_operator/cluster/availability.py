"""Whether the API server answers, from the requests of all clients and of kopf's watches, and the log lines about it.

An outage is one event, however many requests fail in it. All of them are reported here: the log says that it began,
once a minute that it goes on, and that it is over, without tracebacks, which only say where a request was made.

No access to the API server.
"""

import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from selfalign_operator.cluster.failure_log import FailureLog

NO_RESPONSE = "the API server does not respond"
"""Refused or reset connections and timeouts."""
TOO_MANY_REQUESTS, FIRST_SERVER_ERROR = 429, 500
KOPF_FAILURE = re.compile(r"Request attempt #\S+ failed; [^:]+: (?P<request>\S+ \S+) -> (?P<error>.*)", re.DOTALL)
"""kopf's line about a failed request (kopf._cogs.clients.api): method and URL, and the representation of the error."""
QUERY = re.compile(r"\?\S*")
STATUS = re.compile(r"status=(\d{3})\)$")
"""The end of the representation of kopf's errors; that of aiohttp's errors has no status."""
MAX_ERROR_CHARACTERS = 300
"""Characters of an error that are logged: the representation of kopf's errors contains the whole Status object."""


@dataclass
class Availability:
    """Records failed and successful requests. May be called from any thread.

    Attributes:
        failures: limits the log lines.
        clock: monotonic seconds, the same as that of `failures`.
        last_failure: when a request last had no response or a server's error; None if that never happened.
    """

    failures: FailureLog
    clock: Callable[[], float] = time.monotonic
    last_failure: float | None = None
    _kinds: set[str] = field(default_factory=set)

    def failed(self, code: int, message: str) -> None:
        """Records a request that failed for a reason of the server's or the network's, not of the request's.

        Args:
            code: the HTTP status, 0 if there was no response. Statuses for which `is_outage` is False are ignored.
            message: request and cause.
        """
        if is_outage(code):
            kind = f"the API server responds with HTTP {code}" if code else NO_RESPONSE
            self.last_failure = self.clock()
            self._kinds.add(kind)
            self.failures.failed(kind, message)

    def responded(self) -> None:
        """Records a response that the request deserved, an error of the client's (4xx) included."""
        for kind in tuple(self._kinds):
            self.failures.over(kind)


def is_outage(code: int) -> bool:
    """Whether a request with this HTTP status may succeed unchanged: no response (0), 429, or a server's error."""
    return code in (0, TOO_MANY_REQUESTS) or code >= FIRST_SERVER_ERROR


class KopfFailures(logging.Filter):
    """Takes kopf's lines about failed requests out of a log handler and reports them to an Availability.

    kopf writes a line for every attempt of each of its watches. The records of all other loggers pass.

    Args:
        availability: receives them.
    """

    def __init__(self, availability: Availability) -> None:
        super().__init__()
        self._availability = availability

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns False for the lines that are reported to the Availability."""
        failure = KOPF_FAILURE.match(record.getMessage()) if record.name.startswith("kopf.") else None
        if failure is None:
            return True
        code, error = _status(failure["error"]), failure["error"][:MAX_ERROR_CHARACTERS]
        request = QUERY.sub("", failure["request"])
        if is_outage(code):
            self._availability.failed(code, f"{request}: {error}")
        else:  # 403 above all: a missing right concerns one kind of objects, and lasts
            self._availability.failures.failed(f"the API server refuses a watch, {request}", error)
        return False


def _status(error: str) -> int:
    """The HTTP status in the representation of kopf's error; 0 for the errors of a connection."""
    status = STATUS.search(error)
    return int(status[1]) if status else 0


@contextlib.contextmanager
def reported_failures(availability: Availability) -> Iterator[None]:
    """Reports what kopf and urllib3 log about failed requests, instead of writing it, until the block ends."""
    outage, handlers = KopfFailures(availability), tuple(logging.getLogger().handlers)
    # a filter of a logger would miss the records of the loggers below it; a filter of a handler sees all
    for handler in handlers:
        handler.addFilter(outage)
    # urllib3 warns of each repeated request; if that fails as well, the client reports it
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(outage)
