"""Notices a watch of runs that has gone deaf: now and then all runs are listed and compared with what it brought.

A connection may stay open although nothing comes through it any more, and a run that nobody has touched brings nothing
either: only the list tells the two apart. What was missed is looked at; a watch that misses the same thing twice in a
row has to be renewed, which /healthz brings about.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from selfalign_operator.cluster.client import ApiError
from selfalign_operator.cluster.health import Health
from selfalign_operator.cluster.work_queue import RunKey

LOG = logging.getLogger(__name__)
INTERVAL_SECONDS = 60.0


@dataclass
class WatchAudit:
    """`versions` lists all runs with their resource versions; `pull` is for what the watch missed."""

    versions: Callable[[], Mapping[RunKey, str]]
    enqueue: Callable[[RunKey], None]
    health: Health
    _versions: dict[RunKey, str] = field(default_factory=dict)
    _missed: dict[RunKey, str] = field(default_factory=dict)

    def record(self, key: RunKey, version: str) -> None:
        """The watch brought a run."""
        self._versions[key] = version

    def compare(self, listed: Mapping[RunKey, str]) -> None:
        """Judges the watch by a list that was made just now; what it brings meanwhile settles by the next one."""
        missed = {key: version for key, version in listed.items() if self._versions.get(key) != version}
        gone = self._versions.keys() - listed.keys()
        for key in (*missed, *gone):
            self.enqueue(key)
        for key in gone:
            del self._versions[key]
        self.health.missed_runs = tuple(key for key, version in missed.items() if self._missed.get(key) == version)
        if self.health.missed_runs:
            LOG.error(
                "the watch of runs has missed changes of %s for %.0f s", self.health.missed_runs, INTERVAL_SECONDS
            )
        self._missed = missed

    async def run(self, over: asyncio.Event) -> None:
        """Compares every EVERY_SECONDS until it is over."""
        while not over.is_set():
            try:
                self.compare(await asyncio.to_thread(self.versions))
            except ApiError as refused:
                LOG.warning("runs cannot be listed: %s", refused)
            try:
                await asyncio.wait_for(over.wait(), INTERVAL_SECONDS)
            except TimeoutError:
                continue
