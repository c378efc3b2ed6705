"""A stage process computes with no more threads than it has CPUs, whatever the node has."""

import os

import pytest

from selfalign_stages import main
from selfalign_stages.contract.exits import ExitCode
from selfalign_stages.contract.task import TASK_VARIABLE

CPUS = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("given", "used"), [("1", "1"), (str(CPUS + 100), str(CPUS)), ("4,2", "4,2")], ids=["limit", "node", "nested"]
)
def test_threads_are_limited_to_the_cpus_of_the_process(monkeypatch: pytest.MonkeyPatch, given: str, used: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # the process sets it where it is absent
    monkeypatch.setenv(TASK_VARIABLE, "no task")
    assert main.main(["import"]) == ExitCode.BAD_INPUT
    assert os.environ["OMP_NUM_THREADS"] == used
