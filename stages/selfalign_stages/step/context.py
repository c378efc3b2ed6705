"""The one argument of every step's `run` function."""

from dataclasses import dataclass, field
from pathlib import Path

from selfalign_stages.contract.exits import Interrupted
from selfalign_stages.contract.task import Task
from selfalign_stages.step.progress import ProgressMeter
from selfalign_stages.step.stopping import MESSAGE, Stop
from selfalign_stages.step.store import Store


@dataclass(frozen=True)
class StepContext:
    """One attempt at one step.

    Attributes:
        task: what to compute.
        store: where inputs are read and the artifact is published.
        scratch: folder for temporary files, deleted when the process ends.
        progress: what the step reports as finished; served over HTTP while it runs.
        stop: the request to stop. Long loops call `check_stop` between two units of work; code that takes long and
            publishes nothing meanwhile, such as loading a model, runs under `stop.at_once`.
    """

    task: Task
    store: Store
    scratch: Path
    progress: ProgressMeter = field(default_factory=ProgressMeter)
    stop: Stop = field(default_factory=Stop)

    def check_stop(self) -> None:
        """Ends the step if a stop is requested. Call it where all finished work is published.

        Raises:
            Interrupted: a stop is requested; let it propagate, so that the process exits with 75 and is resumed.
        """
        if self.stop.requested():
            raise Interrupted(f"{self.task.id}: {MESSAGE}")
