"""What a status records: finished steps survive their Jobs, failures are forgiven by an edit, budgets add up."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.operator.builders import SimulatedRun, run, simulated_after

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.planning.observation import PREFLIGHT, Pod
from selfalign_operator.planning.plan import (
    PREFLIGHT_RETRY,
    RemoveAttempt,
    StartPreflight,
    StartStep,
    StopAttempt,
    plan,
)
from selfalign_stages.contract.task import Failure, PreflightResult, Problem


def edited(one: SelfAlignRun, **spec: Any) -> SelfAlignRun:
    """The next generation of a run, with its status."""
    generation = one.metadata.generation + 1
    fresh = run(**spec)
    return fresh.model_copy(
        update={"metadata": one.metadata.model_copy(update={"generation": generation}), "status": one.status}
    )


def reason(simulated: SimulatedRun, type_: Any) -> str:
    condition = simulated.run.status.condition(type_)
    assert condition is not None
    return condition.reason


def test_a_finished_run_needs_none_of_its_processes() -> None:
    simulated = SimulatedRun(run())
    before = simulated.to_the_end().status
    simulated.attempts.clear()
    simulated.advance(86_400)
    planned = simulated.reconcile()
    assert planned.actions == () and planned.status == before


def test_a_failed_run_does_not_restart_when_its_processes_are_deleted() -> None:
    simulated = simulated_after()
    simulated.end("import", 42)
    simulated.reconcile()
    simulated.attempts.clear()
    assert simulated.reconcile().actions == ()
    assert simulated.run.status.phase == "Failed"


def test_steps_whose_processes_are_deleted_are_not_repeated() -> None:
    simulated = simulated_after()
    simulated.end("import")
    simulated.reconcile()
    del simulated.attempts[PREFLIGHT], simulated.attempts["import"]
    simulated.reconcile()
    assert simulated.started.count(PREFLIGHT) == 1 and simulated.started.count("import") == 1
    step = simulated.run.status.steps["import"]
    assert (step.state, step.cache, step.attempt) == ("Succeeded", "Miss", 1)


def test_the_number_of_an_attempt_is_never_used_twice() -> None:
    simulated = simulated_after()
    simulated.reconcile()  # the status records the attempt
    del simulated.attempts["import"]  # somebody deleted its Job
    planned = simulated.reconcile()
    starts = {action.step.id: action.attempt for action in planned.actions if isinstance(action, StartStep)}
    assert starts["import"] == 2


def test_an_edit_forgives_a_failure_and_keeps_results() -> None:
    simulated = simulated_after()
    simulated.change("import", generation=1)
    simulated.end("import", 43)
    simulated.reconcile()
    assert reason(simulated, "Stalled") == "AccessDenied"
    simulated.run = edited(simulated.run, retries={"perStage": 5})
    simulated.to_the_end()
    assert simulated.run.status.ready
    assert simulated.started.count(PREFLIGHT) == 1 and simulated.started.count("import") == 2


def test_an_edit_repeats_preflight_after_a_refusal_even_if_no_field_that_it_reads_was_edited() -> None:
    simulated = SimulatedRun(run())
    simulated.reconcile()
    simulated.change(PREFLIGHT, generation=1)
    simulated.end(
        PREFLIGHT, answer=PreflightResult(problems=(Problem(field="spec.artifacts", message="no Secret s3"),))
    )
    simulated.reconcile()
    assert reason(simulated, "Accepted") == "PreflightFailed"
    simulated.run = edited(simulated.run, retries={"perStage": 5})  # the Secret exists now
    simulated.to_the_end()
    assert simulated.run.status.ready and simulated.started.count(PREFLIGHT) == 2


def refused(*problems: Problem) -> SimulatedRun:
    """A run that preflight refused, with its Job still there."""
    simulated = SimulatedRun(run())
    simulated.reconcile()
    simulated.end(PREFLIGHT, answer=PreflightResult(problems=problems))
    simulated.change(PREFLIGHT, job="preflight-1")
    simulated.reconcile()
    return simulated


NO_BUCKET = Problem(field="spec.artifacts.uri", message="there is no bucket: create it")


def test_preflight_of_a_refused_run_is_repeated_and_the_run_continues_once_it_passes() -> None:
    simulated = refused(NO_BUCKET)
    planned = simulated.reconcile()
    assert planned.actions == () and planned.requeue_at == simulated.now + PREFLIGHT_RETRY
    simulated.advance(PREFLIGHT_RETRY.total_seconds())
    planned = simulated.reconcile()
    assert [type(action) for action in planned.actions] == [RemoveAttempt, StartPreflight]
    assert reason(simulated, "Stalled") == "PreflightFailed" and simulated.reconcile().actions == ()
    simulated.to_the_end()
    assert simulated.run.status.ready and simulated.started.count(PREFLIGHT) == 2


def test_a_second_refusal_is_reported_and_repeated_no_sooner_than_the_first() -> None:
    simulated = refused(NO_BUCKET)
    stalled = simulated.run.status.condition("Stalled")
    simulated.advance(PREFLIGHT_RETRY.total_seconds())
    simulated.reconcile()
    simulated.advance(30)
    other = Problem(field="spec.baseModel.uri", message="there are no objects")
    simulated.end(PREFLIGHT, answer=PreflightResult(problems=(other,)))
    simulated.reconcile()
    assert simulated.run.status.problems == (other,)
    assert simulated.reconcile().requeue_at == simulated.now + PREFLIGHT_RETRY
    still_stalled = simulated.run.status.condition("Stalled")
    assert stalled is not None and still_stalled is not None
    assert still_stalled.last_transition_time == stalled.last_transition_time


def test_a_failed_preflight_is_repeated_too() -> None:
    simulated = SimulatedRun(run(retries={"perStage": 0}))
    simulated.reconcile()
    simulated.end(PREFLIGHT, 76)  # the store is unavailable
    simulated.reconcile()
    assert reason(simulated, "Stalled") == "Crash" and simulated.plan().requeue_at == simulated.now + PREFLIGHT_RETRY
    for _ in range(2):
        simulated.advance(PREFLIGHT_RETRY.total_seconds())
        simulated.reconcile()
        assert simulated.running() == [PREFLIGHT] and simulated.reconcile().actions == ()
        simulated.end(PREFLIGHT, 76)
        assert simulated.reconcile().actions == () and reason(simulated, "Stalled") == "Crash"
    simulated.advance(PREFLIGHT_RETRY.total_seconds())
    simulated.reconcile()
    simulated.to_the_end()
    assert simulated.run.status.ready and simulated.started.count(PREFLIGHT) == 4


def test_preflight_of_a_refused_run_that_is_suspended_is_not_repeated() -> None:
    simulated = refused(NO_BUCKET)
    suspended = simulated.run.spec.model_copy(update={"suspend": True})
    simulated.run = simulated.run.model_copy(update={"spec": suspended})
    simulated.advance(2 * PREFLIGHT_RETRY.total_seconds())
    planned = simulated.plan()
    assert planned.actions == () and planned.requeue_at == _jobs_expire(simulated)


def test_problems_that_the_operator_detects_are_checked_at_the_same_interval() -> None:
    simulated = SimulatedRun(run())
    problems = (Problem(field="spec.podDefaults.template", message="there is no such priority class"),)
    simulated.run = simulated.run.model_copy(
        update={"status": plan(simulated.run, replace(simulated.observed(), problems=problems), simulated.now).status}
    )
    assert simulated.plan().requeue_at == simulated.now + PREFLIGHT_RETRY
    simulated.advance(PREFLIGHT_RETRY.total_seconds())
    assert [type(action) for action in simulated.plan().actions] == [StartPreflight]
    still = plan(simulated.run, replace(simulated.observed(), problems=problems), simulated.now)
    assert still.actions == () and still.status.completion_time == simulated.now


def test_an_edit_after_the_end_restarts_the_clock_and_keeps_the_history() -> None:
    simulated = SimulatedRun(run())
    simulated.to_the_end()
    simulated.advance(3600)
    simulated.run = edited(simulated.run, seed=7)
    simulated.reconcile()
    assert simulated.run.status.start_time == simulated.now and simulated.run.status.completion_time is None
    assert [(past.generation, past.digest) for past in simulated.run.status.history] == [(1, "sha256:abc")]
    simulated.to_the_end()
    assert len(simulated.run.status.history) == 1


def test_another_pack_repeats_preflight() -> None:
    simulated = SimulatedRun(run())
    simulated.to_the_end()
    observed = replace(simulated.observed(), pack="other content")
    assert [type(action) for action in plan(simulated.run, observed, simulated.now).actions] == [StartPreflight]


def test_gpu_hours_over_the_budget_stop_the_run() -> None:
    simulated = simulated_after(budget={"gpuHours": 2})
    simulated.change("import", pods=(Pod(created=simulated.now, started=simulated.now, devices=4),))
    simulated.advance(900)
    assert not simulated.reconcile().finished and simulated.run.status.gpu_hours == 1
    simulated.advance(900)
    planned = simulated.reconcile()
    assert planned.finished and reason(simulated, "Stalled") == "GpuBudgetExceeded"
    assert {type(action) for action in planned.actions} == {StopAttempt}


def test_a_pending_process_is_the_reason() -> None:
    simulated = SimulatedRun(run())
    simulated.reconcile()
    simulated.change(PREFLIGHT, pending=Failure(reason="Unschedulable", message="0/1 nodes"))
    simulated.reconcile()
    assert reason(simulated, "Reconciling") == "Unschedulable" and simulated.run.status.phase == "Preflight"


def test_problems_that_the_operator_detects_refuse_the_run_at_once() -> None:
    simulated = SimulatedRun(run())
    problems = (Problem(field="spec.artifacts", message="is missing"),)
    planned = plan(simulated.run, replace(simulated.observed(), problems=problems), simulated.now)
    assert planned.actions == () and planned.status.problems == problems
    accepted = planned.status.condition("Accepted")
    assert accepted is not None and accepted.status == "False"


def _jobs_expire(simulated: SimulatedRun) -> datetime:
    ended = simulated.run.status.completion_time
    assert ended is not None
    return ended + timedelta(seconds=simulated.run.spec.ttl_seconds_after_finished)


@pytest.mark.parametrize("spec", [{"ttlSecondsAfterFinished": 600}, {}], ids=["given", "the default of a day"])
def test_jobs_of_a_finished_run_are_removed_after_the_ttl(spec: dict[str, int]) -> None:
    simulated = SimulatedRun(run(**spec))
    simulated.to_the_end()
    for id_ in simulated.attempts:
        simulated.change(id_, job=f"job-{id_}")
    planned = simulated.reconcile()
    assert planned.actions == () and planned.requeue_at is not None
    simulated.now = planned.requeue_at
    simulated.reconcile()
    assert not any(simulated.attempts.values())
    assert simulated.reconcile().actions == () and simulated.run.status.ready


def test_restart_stops_even_attempts_whose_key_is_unchanged() -> None:
    simulated = simulated_after(onSpecChange="Restart")
    simulated.change("import", generation=1)
    simulated.run = edited(simulated.run, onSpecChange="Restart", retries={"perStage": 9})
    assert [type(action) for action in simulated.reconcile().actions] == [StopAttempt]
