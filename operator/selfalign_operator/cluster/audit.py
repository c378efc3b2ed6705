"""Notices a watch of runs that has gone deaf: now and then all runs are listed and compared with what it brought.

A connection may stay open although nothing comes through it any more, and a run that nobody has touched brings nothing
either: only the list tells the two apart. What was missed is looked at; a watch that misses the same thing twice in a
row has to be renewed, which /healthz brings about.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from selfalign_operator.cluster.api import Refused
from selfalign_operator.cluster.health import Health
from selfalign_operator.cluster.triggers import Key

LOG = logging.getLogger(__name__)
EVERY_SECONDS = 60.0


@dataclass
class Audit:
    """`versions` lists all runs with their resource versions; `pull` is for what the watch missed."""

    versions: Callable[[], Mapping[Key, str]]
    pull: Callable[[Key], None]
    health: Health
    _heard: dict[Key, str] = field(default_factory=dict)
    _missed: dict[Key, str] = field(default_factory=dict)

    def hear(self, key: Key, version: str) -> None:
        """The watch brought a run."""
        self._heard[key] = version

    def compare(self, listed: Mapping[Key, str]) -> None:
        """Judges the watch by a list that was made just now; what it brings meanwhile settles by the next one."""
        missed = {key: version for key, version in listed.items() if self._heard.get(key) != version}
        gone = self._heard.keys() - listed.keys()
        for key in (*missed, *gone):
            self.pull(key)
        for key in gone:
            del self._heard[key]
        self.health.unheard = tuple(key for key, version in missed.items() if self._missed.get(key) == version)
        if self.health.unheard:
            LOG.error("the watch of runs has missed changes of %s for %.0f s", self.health.unheard, EVERY_SECONDS)
        self._missed = missed

    async def run(self, over: asyncio.Event) -> None:
        """Compares every EVERY_SECONDS until it is over."""
        while not over.is_set():
            try:
                self.compare(await asyncio.to_thread(self.versions))
            except Refused as refused:
                LOG.warning("runs cannot be listed: %s", refused)
            try:
                await asyncio.wait_for(over.wait(), EVERY_SECONDS)
            except TimeoutError:
                continue
