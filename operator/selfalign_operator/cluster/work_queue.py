"""Which runs are to be looked at: each by one coroutine at a time, again if something happened meanwhile.

The shape is that of a controller's work queue: keys instead of events, so that a burst about one run is one look. A
look that failed holds back the next one, whatever happens meanwhile: an API server in trouble is not asked more for it.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from selfalign_operator.cluster.client import ApiError
from selfalign_operator.cluster.health import Health

LOG = logging.getLogger(__name__)
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 60.0
JITTER = 0.25
"""Share of a delay that chance adds, so that runs which failed together do not come back together."""

RunKey = tuple[str, str]


@dataclass
class WorkQueue:
    """`look` gets (namespace, name) and returns in how many seconds to look again, or None to wait for an event."""

    reconcile: Callable[[RunKey], Coroutine[Any, Any, float | None]]
    health: Health
    _started: bool = False
    _dirty: set[RunKey] = field(default_factory=set)
    _working: dict[RunKey, "asyncio.Task[None]"] = field(default_factory=dict)
    _timers: dict[RunKey, asyncio.TimerHandle] = field(default_factory=dict)
    _failures: dict[RunKey, int] = field(default_factory=dict)

    def add(self, key: RunKey) -> None:
        """Looks at a run as soon as nobody does, as soon as we lead, and not before a failed look may be repeated."""
        self._dirty.add(key)
        if key not in self._failures:
            self._begin(key)

    def start(self) -> None:
        """Begins with all that was pulled so far."""
        self._started = True
        for key in tuple(self._dirty):
            self.add(key)

    async def shut_down(self) -> None:
        """Lets looks that are under way end and begins no other."""
        self._started = False
        for timer in self._timers.values():
            timer.cancel()
        self._dirty.clear()
        await asyncio.gather(*self._working.values(), return_exceptions=True)

    def _begin(self, key: RunKey) -> None:
        self._dirty.add(key)
        if self._started and key not in self._working:
            self._working[key] = asyncio.get_running_loop().create_task(self._work(key))

    async def _work(self, key: RunKey) -> None:
        try:
            while key in self._dirty:
                self._dirty.discard(key)
                self._requeue(key, await self._reconcile_once(key))
                if key in self._failures:
                    return
        finally:
            del self._working[key]

    async def _reconcile_once(self, key: RunKey) -> float | None:
        try:
            with self.health.reconcile_seconds.time():
                again: float | None = await self.reconcile(key)
            self._failures.pop(key, None)
            return again
        except Exception as error:
            self.health.failures.inc()
            failed = self._failures[key] = self._failures.get(key, 0) + 1
            delay = delay_after(error, failed) * (1 + JITTER * random.random())
            LOG.exception("%s/%s: looks again in %.0f s", *key, delay)
            return delay

    def _requeue(self, key: RunKey, seconds: float | None) -> None:
        before = self._timers.pop(key, None)
        if before is not None:
            before.cancel()
        if seconds is not None:
            self._timers[key] = asyncio.get_running_loop().call_later(seconds, self._begin, key)


def delay_after(error: Exception, failures: int) -> float:
    """Seconds until the next look: twice as long after each failure, and no sooner than the API server asks for."""
    asked = error.retry_after if isinstance(error, ApiError) else 0
    return max(asked, min(FIRST_RETRY_SECONDS * 2.0 ** (failures - 1), LONGEST_RETRY_SECONDS))
