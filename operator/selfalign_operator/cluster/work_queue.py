"""Work queue of the reconciler: keys instead of events, one reconcile per run at a time.

The semantics are those of client-go's workqueue. A burst of events about one run collapses into one reconcile, because
the reconciler reads the current state anyway. An event that arrives while its run is being reconciled leads to exactly
one more reconcile afterwards. A failed reconcile is retried with exponential backoff, and new events do not shorten the
backoff: an API server in trouble gets fewer requests, not more.

Until `start`, and after `pause`, the queue only collects keys, so that a stand-by replica can watch without acting.

No access to the API server of its own.
"""

import asyncio
import logging
import random
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from selfalign_operator.cluster.availability import is_outage
from selfalign_operator.cluster.client import ApiError, RunKey
from selfalign_operator.cluster.failure_log import FailureLog
from selfalign_operator.cluster.health import Health

LOG = logging.getLogger(__name__)
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 60.0
"""Backoff after the first failure, and its upper bound; it doubles in between."""
JITTER = 0.25
"""Random share added to a backoff, so that runs which failed together do not retry together."""
MAX_PARALLEL = 32
"""Reconciles at a time. Each has the objects of its run in memory, a megabyte or two: without a limit, the start of an
operator with a thousand runs needs all of them at once. More than there are threads, because polling pods that do not
respond takes two seconds and no thread."""


@dataclass
class WorkQueue:
    """Schedules reconciles on the running event loop. Not thread-safe: call it from the loop's thread.

    Attributes:
        reconcile: reconciles one run and returns the seconds until it has to be reconciled although no event arrives,
            or None to wait for an event. Any exception counts as a failure and is retried.
        health: receives durations and failures.
        log: limits the lines about failures.
    """

    reconcile: Callable[[RunKey], Coroutine[Any, Any, float | None]]
    health: Health
    log: FailureLog = field(default_factory=lambda: FailureLog(LOG))
    _started: bool = False
    _dirty: set[RunKey] = field(default_factory=set)
    """Runs with an event since their last reconcile began."""
    _working: dict[RunKey, "asyncio.Task[None]"] = field(default_factory=dict)
    """Runs that are being reconciled."""
    _timers: dict[RunKey, asyncio.TimerHandle] = field(default_factory=dict)
    """At most one requeue or retry per run."""
    _failures: dict[RunKey, int] = field(default_factory=dict)
    """Failed reconciles since the last success; runs without failures are absent."""
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_PARALLEL))

    def add(self, key: RunKey) -> None:
        """Enqueues a run. A run in backoff is reconciled when the backoff ends, not before."""
        self._dirty.add(key)
        if key not in self._failures:
            self._begin(key)

    def start(self) -> None:
        """Starts reconciling, beginning with the runs that were enqueued so far."""
        self._started = True
        # without waiting for the backoff: what failed before a pause failed in an outage that is over
        self._failures.clear()
        for key in tuple(self._dirty):
            self._begin(key)

    def pause(self) -> None:
        """Starts no further reconcile until `start`, which then begins with every run that has a requeue or retry."""
        self._started = False
        for key, timer in self._timers.items():
            timer.cancel()
            self._dirty.add(key)
        self._timers.clear()

    async def shut_down(self) -> None:
        """Starts no further reconcile and waits for those in progress. Their exceptions are logged, not raised."""
        self.pause()
        # or a run that is being reconciled would start over
        self._dirty.clear()
        await asyncio.gather(*self._working.values(), return_exceptions=True)

    def _begin(self, key: RunKey) -> None:
        self._dirty.add(key)
        if self._started and key not in self._working:
            self._working[key] = asyncio.get_running_loop().create_task(self._work(key))

    async def _work(self, key: RunKey) -> None:
        try:
            while key in self._dirty and self._started:
                async with self._slots:
                    if not self._started:
                        return  # paused while it waited for its turn; it stays dirty
                    # cleared before the reconcile reads anything: an event from now on needs another reconcile
                    self._dirty.discard(key)
                    delay = await self._reconcile_once(key)
                self._requeue(key, delay)
                if key in self._failures:
                    return  # the timer of the backoff continues, even if the run is dirty
        finally:
            del self._working[key]

    async def _reconcile_once(self, key: RunKey) -> float | None:
        """Returns the seconds until the next reconcile, or until the retry if this one failed."""
        try:
            with self.health.reconcile_seconds.time():
                requeue_after: float | None = await self.reconcile(key)
            self._failures.pop(key, None)
            return requeue_after
        except Exception as error:
            self.health.failures.inc()
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            # jitter only lengthens: a Retry-After of the API server stays a lower bound
            delay = backoff_seconds(error, failures) * (1 + JITTER * random.random())
            self._log_failure(key, error, delay)
            return delay

    def _log_failure(self, key: RunKey, error: Exception, delay: float) -> None:
        """Logs a failed reconcile: what the API server refuses in one line, what is a bug with its traceback."""
        message = f"{'/'.join(key)}: {error}, retrying in {delay:.0f} s"
        if isinstance(error, ApiError):
            # an outage is one event, which the client reports (availability)
            if not is_outage(error.code):
                self.log.failed(f"reconcile failed, the API server responds with HTTP {error.code}", message)
            return
        place = traceback.extract_tb(error.__traceback__)[-1]
        self.log.failed(f"reconcile failed, {type(error).__name__} in {place.name}", message, error=error)

    def _requeue(self, key: RunKey, seconds: float | None) -> None:
        """Replaces the run's timer; None removes it."""
        previous = self._timers.pop(key, None)
        if previous is not None:
            previous.cancel()
        if seconds is not None and not self._started:
            self._dirty.add(key)  # paused in the meantime
        elif seconds is not None:
            self._timers[key] = asyncio.get_running_loop().call_later(seconds, self._begin, key)


def backoff_seconds(error: Exception, failures: int) -> float:
    """Returns the seconds until a failed reconcile is retried, without jitter.

    Args:
        error: what failed it; the Retry-After of a busy API server is a lower bound.
        failures: failures in a row, this one included; each doubles the backoff up to LONGEST_RETRY_SECONDS.
    """
    retry_after = error.retry_after if isinstance(error, ApiError) else 0
    return max(retry_after, min(FIRST_RETRY_SECONDS * 2.0 ** (failures - 1), LONGEST_RETRY_SECONDS))
