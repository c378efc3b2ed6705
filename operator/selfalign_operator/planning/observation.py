"""What is known about a run from outside its manifest: attempts at its processes, preflight's answer, room left."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from selfalign_stages.contract.task import Failure, PreflightResult, Problem, Progress, Result

PREFLIGHT = "preflight"
"""Id of the process that resolves leaves; every other process id is a step's."""


@dataclass(frozen=True)
class Attempt:
    """One process for one key, or one Job with all of its pods. It runs while `exit_code` is None.

    `generation` is the run's when it was started, `preemptions` are stops that its Job outlived, `held` tells why it
    cannot begin, `device_seconds` are seconds times devices.
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
    preemptions: int = 0
    held: Failure | None = None
    device_seconds: float = 0

    @property
    def running(self) -> bool:
        """Whether it may still publish something."""
        return self.exit_code is None


@dataclass(frozen=True)
class Observed:
    """One look at the world. `slots` is how many processes there is room for, None where a cluster queues them.

    `pack` is the digest of a pack that the operator can see itself: of the ConfigMap, whose content may change.
    `problems` are those that it found without a process.
    """

    attempts: Mapping[str, tuple[Attempt, ...]] = field(default_factory=dict)
    slots: int | None = None
    pack: str | None = None
    problems: tuple[Problem, ...] = ()

    def of(self, id_: str) -> tuple[Attempt, ...]:
        """Attempts at a process, oldest first."""
        return tuple(sorted(self.attempts.get(id_, ()), key=lambda attempt: attempt.number))

    def running(self) -> dict[str, Attempt]:
        """The attempt that runs, by process id."""
        return {
            id_: attempt for id_, attempts in sorted(self.attempts.items()) for attempt in attempts if attempt.running
        }
