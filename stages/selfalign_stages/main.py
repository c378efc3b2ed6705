"""The entry point of a stage process: one process computes one step.

    selfalign-stage KIND --task task.json --result result.json [--port N] [--host ADDRESS] [--scratch DIR]

Everything heavy is imported after the signals are handled. Imports take a second, and a signal meanwhile would end the
process like a crash; in a pod, where it is process 1, the kernel would drop the signal (pid_namespaces(7)).
"""

import os
import signal
import sys
from collections.abc import Sequence

from selfalign_stages.contract.exits import ExitCode

OPENMP_DEFAULTS = {"OMP_WAIT_POLICY": "passive"}
"""Environment that OpenMP reads when torch is imported, unless it is set already. Passive threads yield the core while
they wait. Spinning ones make a CPU step take twice as long beside other busy pods (benchmarks/neighbours.py)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one step and writes its result message.

    Args:
        arguments: the command line without the program's name. None: the process's own.

    Returns:
        The exit code, an ExitCode or 1 for a crash.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        # Nothing has begun yet. `carry_out` replaces the handler by one that lets work be finished.
        signal.signal(number, lambda *_: os._exit(ExitCode.INTERRUPTED))
    for name, value in OPENMP_DEFAULTS.items():
        os.environ.setdefault(name, value)
    _limit_threads()
    from selfalign_stages.attempt import carry_out

    return carry_out(arguments)


def _limit_threads() -> None:
    """Lowers OMP_NUM_THREADS to the CPUs that this process may run on.

    In a pod without a CPU limit the variable is the number of the node's allocatable CPUs, and static CPU management of
    the kubelet pins the pod to fewer.
    """
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal() and int(threads) > (available := len(os.sched_getaffinity(0))):
        os.environ["OMP_NUM_THREADS"] = str(available)


if __name__ == "__main__":
    sys.exit(main())
