"""Logs failures that recur: at once when they begin, then at most once a minute, with the number in between.

Without a limit the log of an outage is as long as the operator is busy: every run fails, is retried and fails again,
and the lines that matter are lost among thousands. Failures are distinguished by a kind, a short text without names of
runs, so that the number of lines depends on what is wrong and not on how many runs there are.

No access to the API server.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

INTERVAL_SECONDS = 60.0
"""Least time between two lines about one kind of failure."""
QUIET_SECONDS = 5.0
"""Time without a failure after which a kind counts as over. Some requests of an outage succeed: a line for each of them
would be as many as before."""


@dataclass
class _Kind:
    began: float
    latest: float
    logged: float
    total: int = 0
    unlogged: int = 0
    announced: bool = False
    """Whether the log says that it began; only then it has to say that it is over."""


@dataclass
class FailureLog:
    """Limits the lines about recurring failures. May be called from any thread.

    Attributes:
        logger: receives the lines.
        clock: monotonic seconds.
    """

    logger: logging.Logger
    clock: Callable[[], float] = time.monotonic
    _kinds: dict[str, _Kind] = field(default_factory=dict)
    """Failures that go on, or whose last line is less than a minute old."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def failed(self, kind: str, message: str, *, error: BaseException | None = None) -> None:
        """Records a failure and logs it, unless its kind was logged within the last minute.

        Args:
            kind: what failed, as the line says it; without names of runs.
            message: this failure in particular.
            error: logged with its traceback; for failures that only a change of the code can remove.
        """
        with self._lock:
            now = self.clock()
            state = self._kinds.get(kind)
            if state is None:
                state = self._kinds[kind] = _Kind(began=now, latest=now, logged=now - INTERVAL_SECONDS)
            if state.total == 0:
                state.began = now
            state.latest, state.total, state.unlogged = now, state.total + 1, state.unlogged + 1
            if now - state.logged < INTERVAL_SECONDS:
                return
            times = "" if state.unlogged == 1 else f", {state.unlogged} times; the latest"
            state.logged, state.unlogged, state.announced = now, 0, True
        self.logger.error("%s%s: %s", kind, times, message, exc_info=error)

    def over(self, kind: str) -> None:
        """Logs that a kind of failure is over, if it began and the last one is QUIET_SECONDS ago."""
        with self._lock:
            now, state = self.clock(), self._kinds.get(kind)
            if state is None or now - state.latest < QUIET_SECONDS:
                return
            began, total, announced = state.began, state.total, state.announced
            state.total, state.unlogged, state.announced = 0, 0, False
            if announced:
                state.logged = now  # a failure that comes and goes is announced once a minute, too
            elif now - state.logged >= INTERVAL_SECONDS:
                del self._kinds[kind]
        if announced:
            self.logger.warning("%s: over after %.0f s and %d failures", kind, now - began, total)
