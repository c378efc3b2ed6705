"""What a step's code is handed: its task, the store, a scratch folder, and where to tell progress."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from selfalign_stages.artifacts.store import Store
from selfalign_stages.contract.exits import Interrupted
from selfalign_stages.contract.task import Task
from selfalign_stages.progress import Progress


@dataclass(frozen=True)
class StepContext:
    """One attempt at one step. `stop_requested` turns true on SIGTERM or SIGINT; long loops ask it."""

    task: Task
    store: Store
    scratch: Path
    progress: Progress = field(default_factory=Progress)
    stop_requested: Callable[[], bool] = lambda: False

    def check_stop(self) -> None:
        """Raises Interrupted when asked to stop; called where nothing would be lost."""
        if self.stop_requested():
            raise Interrupted(f"{self.task.id}: stopped on request; a rerun resumes from what is published")
