"""A limit of the run that stopped it is raised as its message says, and the run goes on."""

from typing import Any

import pytest
from tests.operator.builders import NOW, SimulatedRun, manifest, simulated_after

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import Usage


def raised(simulated: SimulatedRun, **spec: Any) -> None:
    """Raises a limit in the spec, and lets the stopped process end."""
    simulated.attempts["import"].clear()
    metadata = simulated.run.metadata.model_copy(update={"generation": simulated.run.metadata.generation + 1})
    edited = SelfAlignRun.model_validate(manifest(**spec)).spec
    simulated.run = simulated.run.model_copy(update={"metadata": metadata, "spec": edited})


def message(simulated: SimulatedRun) -> str:
    condition = simulated.reconcile().status.condition("Stalled")
    assert condition is not None and condition.status == "True"
    return condition.message


def test_the_deadline() -> None:
    simulated = simulated_after(budget={"deadline": "1h"})
    simulated.advance(3601)
    assert "spec.budget.deadline (1h): raise it" in message(simulated)
    raised(simulated, budget={"deadline": "2h"})
    assert not simulated.reconcile().finished and simulated.running() == ["import"]


def test_the_gpu_hours() -> None:
    simulated = simulated_after(budget={"gpuHours": 1})
    used = simulated.run.status.model_copy(update={"usage": Usage(gpu_seconds=4000, counted_until=NOW)})
    simulated.run = simulated.run.model_copy(update={"status": used})
    assert "spec.budget.gpuHours allows 1: raise it" in message(simulated)
    raised(simulated, budget={"gpuHours": 2})
    assert not simulated.reconcile().finished and simulated.running() == ["import"]


@pytest.mark.parametrize("allowed", [0, 2])
def test_the_preemptions(allowed: int) -> None:
    simulated = simulated_after(retries={"preemptions": allowed})
    for _ in range(allowed + 1):
        simulated.end("import", 75)
        planned = simulated.reconcile()
    assert planned.finished
    assert f"spec.retries.preemptions allows {allowed}: raise it" in message(simulated)
    raised(simulated, retries={"preemptions": allowed + 1})
    assert not simulated.reconcile().finished and simulated.running() == ["import"]
