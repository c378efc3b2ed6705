"""How often a status is written: our own write is an event as well, and would be answered by another without end."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus

POLL_SECONDS = 15.0
"""Between two polls of a pod's progress, and between two writes of what changes all the time."""


@dataclass
class StatusThrottle:
    """When the status of each run was last written."""

    _last: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def reserve(self, run: SelfAlignRun, status: RunStatus, now: datetime) -> bool:
        """Whether to write it now; whoever is told yes writes.

        Progress, and what a run that ended is told again, waits until POLL_SECONDS after the last write.
        """
        key = (run.metadata.namespace, run.metadata.name)
        last = self._last.get(key)
        if last is not None and now - last < timedelta(seconds=POLL_SECONDS) and _calm(run.status, status):
            return False
        self._last[key] = now
        return True

    def forget(self, key: tuple[str, str]) -> None:
        """The run is gone."""
        self._last.pop(key, None)


def _calm(before: RunStatus, after: RunStatus) -> bool:
    ended = before.completion_time is not None and after.completion_time is not None
    return _lasting(before) == _lasting(after) or (ended and before.observed_generation == after.observed_generation)


def _lasting(status: RunStatus) -> dict[str, Any]:
    """A status without what changes by itself while steps run."""
    volatile = {"progress": None, "gpu_seconds": None, "preempted": None}
    stages = tuple(
        stage.model_copy(update={"steps": tuple(step.model_copy(update=volatile) for step in stage.steps)})
        for stage in status.stages
    )
    return status.model_copy(update={"stages": stages, "progress": None, "gpu_hours": None, "usage": None}).to_dict()
