"""How many steps this machine carries side by side, and how many threads each may use."""

import os
from dataclasses import dataclass
from pathlib import Path

from selfalign_stages.contract.graph import Kind

MOST_SIDE_BY_SIDE = 2


@dataclass(frozen=True)
class Machine:
    """What there is to share out."""

    cores: int
    gpus: int

    @property
    def slots(self) -> int:
        """Steps side by side; one where there is a GPU, since an engine takes all of its memory."""
        return 1 if self.gpus else max(1, min(MOST_SIDE_BY_SIDE, self.cores))

    def threads(self, kind: Kind | None) -> int:
        """Threads for a step. Fixed by its kind, never by what runs beside it: sums differ by thread count."""
        return self.cores if kind == "train" else max(1, self.cores // self.slots)


def detect() -> Machine:
    """The cores that we may use, and NVIDIA devices."""
    return Machine(cores=len(os.sched_getaffinity(0)), gpus=len(list(Path("/dev").glob("nvidia[0-9]*"))))
