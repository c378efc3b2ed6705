"""What a run ends with: tables of stages and evaluation, the image, where things lie, or why it failed."""

from dataclasses import dataclass
from typing import TextIO

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus
from selfalign_operator.local.workdir import Workdir
from selfalign_stages.contract.task import StoreLocation


@dataclass(frozen=True)
class Report:
    """Everything that the report is made from."""

    run: SelfAlignRun
    status: RunStatus
    workdir: Workdir
    store: StoreLocation

    def write(self, out: TextIO) -> None:
        """Tables and places."""
        out.write(f"{self.status.phase}\n")

    def write_failure(self, out: TextIO) -> None:
        """Why the run is not ready."""
        stalled = self.status.condition("Stalled")
        if stalled is not None and stalled.status == "True":
            out.write(f"{stalled.reason}: {stalled.message}\n")
