"""What is known about a run from outside its manifest: attempts at its processes, preflight's answer, room left."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from selfalign_stages.contract.task import Failure, PreflightResult, Problem, Progress, Result

PREFLIGHT = "preflight"
"""Id of the process that resolves leaves; every other process id is a step's."""


Fate = Literal["alive", "done", "crashed", "preempted"]


@dataclass(frozen=True)
class Pod:
    """One pod of a Job: from when to when it held how many devices, and how it ended if it did."""

    created: datetime
    began: datetime | None = None
    ended: datetime | None = None
    devices: int = 0
    fate: Fate = "alive"


@dataclass(frozen=True)
class Attempt:
    """One process for one key, or one Job with all of its pods. It runs while `exit_code` is None.

    `generation` is the run's when it was started, `held` tells why it cannot begin, `workers` are the pods that a Job
    runs side by side, `exhausted` says that it has spent the step's retries itself.
    """

    key: str
    number: int
    started: datetime
    finished: datetime | None = None
    exit_code: int | None = None
    stopping: bool = False
    result: Result | PreflightResult | None = None
    failure: Failure | None = None
    progress: Progress | None = None
    job: str | None = None
    generation: int | None = None
    workers: int = 1
    pods: tuple[Pod, ...] = ()
    exhausted: bool = False
    pending: Failure | None = None

    @property
    def running(self) -> bool:
        """Whether it may still publish something."""
        return self.exit_code is None


@dataclass(frozen=True)
class Observed:
    """One look at the world. `slots` is how many processes there is room for, None where a cluster queues them.

    `pack` is the digest of a pack that the operator can see itself: of the ConfigMap, whose content may change.
    `problems` are those that it found without a process, `blocked` is why something that was planned could not be done.
    """

    attempts: Mapping[str, tuple[Attempt, ...]] = field(default_factory=dict)
    slots: int | None = None
    pack: str | None = None
    problems: tuple[Problem, ...] = ()
    blocked: Failure | None = None

    def of(self, id_: str) -> tuple[Attempt, ...]:
        """Attempts at a process, oldest first."""
        return tuple(sorted(self.attempts.get(id_, ()), key=lambda attempt: attempt.number))

    def running(self) -> dict[str, Attempt]:
        """The attempt that runs, by process id."""
        return {
            id_: attempt for id_, attempts in sorted(self.attempts.items()) for attempt in attempts if attempt.running
        }
