"""How many steps run in parallel on this machine, and how many threads each of them gets.

Results must not depend on what else is running: floating-point sums differ with the number of threads, so two runs of
one step would publish different artifacts under the same key. The number of threads therefore follows from the machine
and the kind of step only, never from the current load.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from selfalign_stages.contract.graph import Kind

MAX_PARALLEL_STEPS = 2
"""Steps in parallel on a machine without a GPU. While one loads or filters on a single core, another can compute; more
than two would multiply the memory for models."""

ALONE: frozenset[Kind] = frozenset({"train", "answers"})
"""Kinds of long steps that have little or nothing to run beside."""


@dataclass(frozen=True)
class Machine:
    """Resources of this machine.

    Attributes:
        cores: CPU cores that this process may use.
        gpus: NVIDIA devices.
    """

    cores: int
    gpus: int

    @property
    def slots(self) -> int:
        """How many steps may run in parallel; one if there is a GPU, since the engine allocates all of its memory."""
        return 1 if self.gpus else max(1, min(MAX_PARALLEL_STEPS, self.cores))

    def threads(self, kind: Kind | None) -> int:
        """Returns the number of threads for a step: all cores for those that dominate a run, else a fair share.

        Args:
            kind: kind of the step, None for preflight.
        """
        return self.cores if kind in ALONE else max(1, self.cores // self.slots)


def detect() -> Machine:
    """Counts the cores of the CPU affinity mask, which containers and taskset restrict, and the NVIDIA device files."""
    # device files instead of nvidia-smi or torch: the command line must start fast and needs neither
    return Machine(cores=len(os.sched_getaffinity(0)), gpus=len(list(Path("/dev").glob("nvidia[0-9]*"))))
