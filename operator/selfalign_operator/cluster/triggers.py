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

from selfalign_operator.cluster.api import Refused
from selfalign_operator.cluster.health import Health

LOG = logging.getLogger(__name__)
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 60.0
JITTER = 0.25
"""Share of a delay that chance adds, so that runs which failed together do not come back together."""

Key = tuple[str, str]


@dataclass
class Triggers:
    """`look` gets (namespace, name) and returns in how many seconds to look again, or None to wait for an event."""

    look: Callable[[Key], Coroutine[Any, Any, float | None]]
    health: Health
    _opened: bool = False
    _dirty: set[Key] = field(default_factory=set)
    _working: dict[Key, "asyncio.Task[None]"] = field(default_factory=dict)
    _timers: dict[Key, asyncio.TimerHandle] = field(default_factory=dict)
    _failures: dict[Key, int] = field(default_factory=dict)

    def pull(self, key: Key) -> None:
        """Looks at a run as soon as nobody does, as soon as we lead, and not before a failed look may be repeated."""
        self._dirty.add(key)
        if key not in self._failures:
            self._begin(key)

    def open(self) -> None:
        """Begins with all that was pulled so far."""
        self._opened = True
        for key in tuple(self._dirty):
            self.pull(key)

    async def close(self) -> None:
        """Lets looks that are under way end and begins no other."""
        self._opened = False
        for timer in self._timers.values():
            timer.cancel()
        self._dirty.clear()
        await asyncio.gather(*self._working.values(), return_exceptions=True)

    def _begin(self, key: Key) -> None:
        self._dirty.add(key)
        if self._opened and key not in self._working:
            self._working[key] = asyncio.get_running_loop().create_task(self._work(key))

    async def _work(self, key: Key) -> None:
        try:
            while key in self._dirty:
                self._dirty.discard(key)
                self._again(key, await self._look(key))
                if key in self._failures:
                    return
        finally:
            del self._working[key]

    async def _look(self, key: Key) -> float | None:
        try:
            with self.health.looks.time():
                again: float | None = await self.look(key)
            self._failures.pop(key, None)
            return again
        except Exception as error:
            self.health.failures.inc()
            failed = self._failures[key] = self._failures.get(key, 0) + 1
            delay = delay_after(error, failed) * (1 + JITTER * random.random())
            LOG.exception("%s/%s: looks again in %.0f s", *key, delay)
            return delay

    def _again(self, key: Key, seconds: float | None) -> None:
        before = self._timers.pop(key, None)
        if before is not None:
            before.cancel()
        if seconds is not None:
            self._timers[key] = asyncio.get_running_loop().call_later(seconds, self._begin, key)


def delay_after(error: Exception, failures: int) -> float:
    """Seconds until the next look: twice as long after each failure, and no sooner than the API server asks for."""
    asked = error.retry_after if isinstance(error, Refused) else 0
    return max(asked, min(FIRST_RETRY_SECONDS * 2.0 ** (failures - 1), LONGEST_RETRY_SECONDS))
