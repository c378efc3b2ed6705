"""What is known about a run from outside its manifest: attempts at its processes, preflight's answer, room left."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from selfalign_stages.contract.task import Failure, PreflightResult, Progress, Result

PREFLIGHT = "preflight"
"""Id of the process that resolves leaves; every other process id is a step's."""


@dataclass(frozen=True)
class Attempt:
    """One process for one key. It runs while `exit_code` is None."""

    key: str
    number: int
    started: datetime
    finished: datetime | None = None
    exit_code: int | None = None
    stopping: bool = False
    result: Result | PreflightResult | None = None
    failure: Failure | None = None
    progress: Progress | None = None

    @property
    def running(self) -> bool:
        """Whether it may still publish something."""
        return self.exit_code is None


@dataclass(frozen=True)
class Observed:
    """One look at the world. `slots` is how many processes there is room for, None where a cluster queues them."""

    attempts: Mapping[str, tuple[Attempt, ...]] = field(default_factory=dict)
    slots: int | None = None

    def of(self, id_: str) -> tuple[Attempt, ...]:
        """Attempts at a process, oldest first."""
        return tuple(sorted(self.attempts.get(id_, ()), key=lambda attempt: attempt.number))

    def running(self) -> dict[str, Attempt]:
        """The attempt that runs, by process id."""
        return {
            id_: attempt for id_, attempts in sorted(self.attempts.items()) for attempt in attempts if attempt.running
        }
