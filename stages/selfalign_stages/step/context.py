"""What a step's code is handed: its task, the store, a scratch folder, and where to tell progress."""

from dataclasses import dataclass, field
from pathlib import Path

from selfalign_stages.contract.exits import Interrupted
from selfalign_stages.contract.task import Task
from selfalign_stages.step.progress import ProgressMeter
from selfalign_stages.step.stopping import MESSAGE, Stop
from selfalign_stages.step.store import Store


@dataclass(frozen=True)
class StepContext:
    """One attempt at one step. `stop` tells of SIGTERM and SIGINT: long loops ask it, loading is `stop.at_once`."""

    task: Task
    store: Store
    scratch: Path
    progress: ProgressMeter = field(default_factory=ProgressMeter)
    stop: Stop = field(default_factory=Stop)

    def check_stop(self) -> None:
        """Raises Interrupted when asked to stop; called where nothing would be lost."""
        if self.stop.requested():
            raise Interrupted(f"{self.task.id}: {MESSAGE}")
