"""Failed attempts count although their Jobs are deleted before anybody can read them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.operator.builders import SimulatedRun, run, simulated_after
from tests.operator.test_plan import condition_statuses
from tests.operator.test_usage import next_generation

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.planning.failed_attempts import JOB_GONE
from selfalign_operator.planning.observation import PREFLIGHT, Observed
from selfalign_operator.planning.plan import StopAttempt, plan


def named(simulated: SimulatedRun) -> SimulatedRun:
    """Attempts as Jobs have them: with a name and the generation of their start."""
    generation = simulated.run.metadata.generation
    for id_, attempts in simulated.attempts.items():
        simulated.attempts[id_] = [
            replace(one, job=f"{id_}-{one.number}", generation=one.generation or generation) for one in attempts
        ]
    return simulated


def reconcile(simulated: SimulatedRun) -> None:
    """One reconcile as the operator does it: act, observe again, write the status."""
    simulated.reconcile()
    named(simulated)
    simulated.run = simulated.run.model_copy(update={"status": simulated.plan().status})


def jobs_started_while_they_vanish(simulated: SimulatedRun, id_: str, *, seconds: float = 3600) -> int:
    """Lets every Job of a process disappear as soon as it is recorded; returns how many were started."""
    end = simulated.now + timedelta(seconds=seconds)
    while simulated.now < end:
        reconcile(simulated)
        simulated.attempts[id_] = []
        simulated.advance(5)
    return simulated.started.count(id_)


def reason(simulated: SimulatedRun) -> str:
    condition = simulated.run.status.condition("Stalled")
    return condition.reason if condition is not None and condition.status == "True" else ""


@pytest.mark.parametrize("limit", [0, 1, 3])
@pytest.mark.parametrize("id_", [PREFLIGHT, "import"])
def test_jobs_that_vanish_are_started_as_often_as_the_limit_allows(id_: str, limit: int) -> None:
    spec: dict[str, Any] = {"retries": {"perStage": limit}}
    simulated = SimulatedRun(run(**spec)) if id_ == PREFLIGHT else simulated_after(**spec)
    started = jobs_started_while_they_vanish(simulated, id_, seconds=280)  # less than until preflight is repeated
    assert started == limit + 1
    assert reason(simulated) == JOB_GONE and id_ in simulated.run.status.conditions[2].message


def test_a_run_goes_on_once_its_jobs_no_longer_vanish_and_it_was_suspended_and_resumed() -> None:
    simulated = simulated_after()
    jobs_started_while_they_vanish(simulated, "import")
    message = simulated.run.status.conditions[2].message
    assert "set spec.suspend to true and back to false" in message
    for suspend in (True, False):
        edited = next_generation(simulated.run)
        spec = edited.spec.model_copy(update={"suspend": suspend})
        simulated.run = edited.model_copy(update={"spec": spec})
        reconcile(simulated)
    assert simulated.running() == ["import"] and reason(simulated) == ""
    simulated.to_the_end()
    assert simulated.run.status.ready


def test_vanished_and_visible_failures_add_up_and_a_success_forgets_them() -> None:
    simulated = simulated_after(retries={"perStage": 2})
    named(simulated)
    reconcile(simulated)
    simulated.attempts["import"] = []
    reconcile(simulated)
    simulated.advance(10)
    reconcile(simulated)
    simulated.end("import", 1)
    reconcile(simulated)
    failed = simulated.run.status.steps["import"].failed
    assert failed is not None and (failed.count, failed.through) == (2, 2)
    simulated.attempts["import"] = []
    simulated.advance(10)
    reconcile(simulated)
    assert simulated.running() == ["import"] and simulated.attempts["import"][-1].number == 3
    simulated.end("import")
    reconcile(simulated)
    assert simulated.run.status.steps["import"].failed is None and reason(simulated) == ""


def test_the_next_attempt_waits_as_long_as_after_a_crash() -> None:
    simulated = simulated_after(retries={"perStage": 5})
    reconcile(simulated)
    delays = []
    for _ in range(3):
        simulated.attempts["import"] = []
        reconcile(simulated)
        moment = simulated.plan().requeue_at
        assert moment is not None and simulated.running() == []
        delays.append((moment - simulated.now).total_seconds())
        simulated.now = moment
        reconcile(simulated)
        assert simulated.running() == ["import"]
    assert delays == [1, 2, 4]


def test_jobs_that_the_operator_stops_are_no_failures() -> None:
    simulated = simulated_after(retries={"perStage": 0})
    reconcile(simulated)
    edited = next_generation(simulated.run)
    edited = edited.model_copy(update={"spec": edited.spec.model_copy(update={"suspend": True})})
    stops = [one for one in plan(edited, simulated.observed(), simulated.now).actions if isinstance(one, StopAttempt)]
    assert [one.id for one in stops] == ["import"]
    simulated.attempts["import"] = []
    simulated.run = edited
    reconcile(simulated)
    reconcile(simulated)
    assert simulated.run.status.phase == "Suspended" and reason(simulated) == ""


def test_a_job_of_a_running_run_that_is_replaced_on_purpose_is_no_failure() -> None:
    simulated = simulated_after(retries={"perStage": 0})
    reconcile(simulated)
    gone = Observed({PREFLIGHT: simulated.observed().attempts[PREFLIGHT]}, stopped=frozenset({("import", 1)}))
    assert plan(simulated.run, gone, simulated.now).status.steps["import"].failed is None
    simulated.change("import", stopping=True)
    reconcile(simulated)
    simulated.attempts["import"] = []
    reconcile(simulated)
    assert simulated.running() == ["import"] and reason(simulated) == ""


@pytest.mark.parametrize("spec", [{"budget": {"deadline": "1m"}}, {"budget": {"gpuHours": 1}}])
def test_what_stops_a_run_stays_the_reason_although_its_jobs_are_gone(spec: dict[str, Any]) -> None:
    from tests.operator.test_usage import pod

    simulated = simulated_after(retries={"perStage": 0}, **spec)
    reconcile(simulated)
    simulated.change("import", pods=(pod(0, devices=8),))
    simulated.advance(7200)
    assert any(isinstance(one, StopAttempt) for one in simulated.plan().actions)
    observed = simulated.observed()
    stopped = Observed({PREFLIGHT: observed.attempts[PREFLIGHT], "import": ()})
    before: SelfAlignRun = simulated.run.model_copy(update={"status": simulated.plan().status})
    status = plan(before, stopped, simulated.now).status
    assert status.conditions[2].reason in ("DeadlineExceeded", "GpuBudgetExceeded")
    assert condition_statuses(status)["Stalled"] == "True"


def test_a_second_reconcile_of_a_vanished_job_writes_nothing() -> None:
    simulated = simulated_after()
    reconcile(simulated)
    simulated.attempts["import"] = []
    reconcile(simulated)
    before = simulated.run.status.to_dict()
    assert simulated.plan().status.to_dict() == before
