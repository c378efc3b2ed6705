"""What an operator does while it is the leader, and while it is not: starts, pauses and ends the work queue.

An operator that cannot renew its Lease pauses, and goes on when it holds the Lease again. It does not end: in an outage
of the API server every operator loses its Lease, and one that ends then is restarted by the kubelet ever more slowly.
It ends when another operator has taken over, because a new process has no state of the old leader.

No access to the API server of its own.
"""

import asyncio
import logging
from dataclasses import dataclass

from selfalign_operator.cluster.health import Health
from selfalign_operator.cluster.leadership import RENEW_DEADLINE_SECONDS, Leadership
from selfalign_operator.cluster.watch_audit import WatchAudit
from selfalign_operator.cluster.work_queue import WorkQueue

LOG = logging.getLogger(__name__)


@dataclass
class Term:
    """Called on the event loop.

    Attributes:
        leadership: this operator's part in the election.
        queue: is started and paused.
        health: receives whether this operator leads.
        audit: knows all runs.
        stopped: is set to end the operator.
        unsynced: watches of Jobs and pods that have not begun yet. Before they have, a change could be missed that no
            reconcile has read.
    """

    leadership: Leadership
    queue: WorkQueue
    health: Health
    audit: WatchAudit
    stopped: asyncio.Event
    unsynced: int = 0
    _leads: bool = False
    _led: bool = False
    """Whether this operator has been the leader at any time."""

    def set_leader(self, leads: bool) -> None:
        """Acts on a change in the election: of this operator's part, or of the holder of the Lease."""
        led, self._leads, self._led = self._leads, leads, self._led or leads
        self.health.leads.set(leads)
        name = self.leadership.identity
        if leads and not led:
            LOG.info("%s is the leader", name)
            self._start()
        elif not leads and self._led:
            self.queue.pause()
            if self.leadership.superseded:
                LOG.error("another operator has acquired the Lease of %s, which stops", name)
                self.stopped.set()
            else:
                LOG.warning("%s has not renewed its Lease for %.0f s and pauses", name, RENEW_DEADLINE_SECONDS)

    def synced(self) -> None:
        """Acts on a watch of Jobs or pods that has begun, or that has begun anew after a gap."""
        if self.unsynced > 0:
            self.unsynced -= 1
            self._start()
        else:
            self.audit.enqueue_all()

    def _start(self) -> None:
        if self._leads and self.unsynced == 0 and not self.stopped.is_set():
            self.queue.start()
