"""Detects a stalled watch: lists all runs once a minute and compares resourceVersions with what the watch delivered.

A TCP connection may stay open while no event arrives any more (a proxy that lost its backend, a half-open connection).
To the client that is the same as a cluster in which nobody edits a run, so no timeout on the watch can tell the two
apart; only a list can. A change that the watch missed is enqueued at once. A change that is still missing at the next
audit proves that the watch is stalled: /healthz then fails, and the kubelet restarts the operator. A single miss proves
nothing, because the event may be on its way while the list is made.

Access to the API server: list SelfAlignRuns, metadata only.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from selfalign_operator.cluster.availability import is_outage
from selfalign_operator.cluster.client import ApiError, RunKey
from selfalign_operator.cluster.health import Health

LOG = logging.getLogger(__name__)
INTERVAL_SECONDS = 60.0
"""Between two audits. An event is far quicker than this, so missing it twice is no coincidence."""


@dataclass
class WatchAudit:
    """Compares lists of runs with the events of the watch.

    Attributes:
        list_versions: lists all watched runs with their resourceVersions; blocking.
        enqueue: adds a run to the work queue.
        health: receives the runs whose changes the watch misses.
    """

    list_versions: Callable[[], Mapping[RunKey, str]]
    enqueue: Callable[[RunKey], None]
    health: Health
    _received: dict[RunKey, str] = field(default_factory=dict)
    """resourceVersion of each run in the newest event of the watch."""
    _missed: dict[RunKey, str] = field(default_factory=dict)
    """Listed versions that the watch had not delivered at the last audit."""

    def record(self, key: RunKey, version: str) -> None:
        """Records the resourceVersion of a run that the watch delivered."""
        self._received[key] = version

    def forget(self, key: RunKey) -> None:
        """Drops a run whose deletion the watch delivered."""
        self._received.pop(key, None)

    def enqueue_all(self) -> None:
        """Enqueues every run, after a gap in the watch of something that all of them depend on."""
        for key in tuple(self._received):
            self.enqueue(key)

    def compare(self, listed: Mapping[RunKey, str]) -> None:
        """Compares a new list with the events so far, enqueues every difference and updates `health.missed_runs`.

        Versions are compared for equality only: Kubernetes defines no order that clients may rely on.

        Args:
            listed: resourceVersion of each run.
        """
        missed = {key: version for key, version in listed.items() if self._received.get(key) != version}
        deleted = self._received.keys() - listed.keys()
        # at once, without waiting for proof: a reconcile too many is cheap, a missed change may wait for hours
        for key in (*missed, *deleted):
            self.enqueue(key)
        for key in deleted:
            del self._received[key]
        # the same version missing in two audits; a newer version starts over
        self.health.missed_runs = tuple(key for key, version in missed.items() if self._missed.get(key) == version)
        if self.health.missed_runs:
            runs = ", ".join("/".join(key) for key in self.health.missed_runs)
            LOG.error(
                "watch of SelfAlignRuns is stalled: no event for %.0f s for changes of %s", INTERVAL_SECONDS, runs
            )
        self._missed = missed

    async def run(self, stopped: asyncio.Event) -> None:
        """Audits every INTERVAL_SECONDS until `stopped` is set. A list that is refused is logged and skipped.

        The first audit is an interval after the start: before the watch has delivered its own list, every run would
        count as missed, and be reconciled twice.
        """
        while not stopped.is_set():
            try:
                await asyncio.wait_for(stopped.wait(), INTERVAL_SECONDS)
            except TimeoutError:
                await self._audit()

    async def _audit(self) -> None:
        try:
            self.compare(await asyncio.to_thread(self.list_versions))
        except ApiError as error:
            if not is_outage(error.code):  # an outage is reported by the client, once for all requests
                LOG.warning("watch audit skipped, runs cannot be listed: %s", error)
