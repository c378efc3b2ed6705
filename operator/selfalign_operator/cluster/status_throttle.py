"""Limits how often the status of a run is written.

The operator watches runs, so its own status write is an event that triggers the next reconcile. Progress changes with
every poll: without a limit, each write would trigger the next one and the loop would run as fast as the API server
answers. Whatever a user waits for (phases, conditions, step states) is still written at once.

No access to the API server.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus
from selfalign_operator.cluster.client import RunKey

POLL_SECONDS = 15.0
"""Between two polls of a pod's progress, and at least between two status writes that only change volatile fields."""


@dataclass
class StatusThrottle:
    """Remembers when the status of each run was last written. In memory: after a restart one extra write is due."""

    _last: dict[RunKey, datetime] = field(default_factory=dict)

    def reserve(self, run: SelfAlignRun, status: RunStatus, now: datetime) -> bool:
        """Reserves a status write: a caller that gets True has to write.

        Args:
            run: the run with its status as it is on the API server.
            status: the status to be written.
            now: the current time; recorded as the time of the write.

        Returns:
            False if only volatile fields change (progress, GPU time), or a run that has ended is judged anew, and the
            last write was less than POLL_SECONDS ago; the caller then requeues. Otherwise True.
        """
        key = (run.metadata.namespace, run.metadata.name)
        last = self._last.get(key)
        # a clock that was set back must not postpone writes until it is where it was
        recent = last is not None and timedelta() <= now - last < timedelta(seconds=POLL_SECONDS)
        if recent and _may_wait(run.status, status):
            return False
        self._last[key] = now
        return True

    def forget(self, key: RunKey) -> None:
        """Drops what is known about a deleted run; a new run of the same name is written at once."""
        self._last.pop(key, None)


def _may_wait(before: RunStatus, after: RunStatus) -> bool:
    # A rejected run is checked anew, and messages of other systems may hold a request id: never equal, never news.
    ended = before.completion_time is not None and after.completion_time is not None
    judged_anew = ended and before.observed_generation == after.observed_generation and before.retry == after.retry
    return _stable(before) == _stable(after) or judged_anew


def _stable(status: RunStatus) -> dict[str, Any]:
    """A status without the fields that change by themselves while steps run."""
    # preempted counts the pods of a Job, which a node that keeps failing can replace every few seconds
    volatile = {"progress": None, "gpu_seconds": None, "preempted": None}
    stages = tuple(
        stage.model_copy(update={"steps": tuple(step.model_copy(update=volatile) for step in stage.steps)})
        for stage in status.stages
    )
    return status.model_copy(update={"stages": stages, "progress": None, "gpu_hours": None, "usage": None}).to_dict()
