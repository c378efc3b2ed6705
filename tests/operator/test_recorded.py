"""What a status remembers: finished work outlives its processes, failures are forgiven by an edit, budgets add up."""

from dataclasses import replace
from typing import Any

from tests.operator.builders import World, run

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


def reason(world: World, type_: Any) -> str:
    condition = world.run.status.condition(type_)
    assert condition is not None
    return condition.reason


def test_a_run_that_is_done_needs_none_of_its_processes() -> None:
    world = World(run())
    before = world.to_the_end().status
    world.attempts.clear()
    world.later(86_400)
    planned = world.act()
    assert planned.actions == () and planned.status == before


def test_a_run_that_failed_does_not_begin_again_when_its_processes_are_gone() -> None:
    world = World(run())
    world.act()
    world.end(PREFLIGHT)
    world.act()
    world.end("import", 42)
    world.act()
    world.attempts.clear()
    assert world.act().actions == ()
    assert world.run.status.phase == "Failed"


def test_steps_whose_processes_are_gone_are_not_done_again() -> None:
    world = World(run())
    world.act()
    world.end(PREFLIGHT)
    world.act()
    world.end("import")
    world.act()
    del world.attempts[PREFLIGHT], world.attempts["import"]
    world.act()
    assert world.started.count(PREFLIGHT) == 1 and world.started.count("import") == 1
    step = world.run.status.steps["import"]
    assert (step.state, step.cache, step.attempt) == ("Succeeded", "Miss", 1)


def test_the_number_of_an_attempt_is_never_used_twice() -> None:
    world = World(run())
    world.act()
    world.end(PREFLIGHT)
    world.act()
    world.act()  # the status tells of the attempt
    del world.attempts["import"]  # somebody deleted its Job
    planned = world.act()
    starts = {action.step.id: action.attempt for action in planned.actions if isinstance(action, StartStep)}
    assert starts["import"] == 2


def test_an_edit_forgives_a_failure_and_keeps_what_is_done() -> None:
    world = World(run())
    world.act()
    world.end(PREFLIGHT)
    world.act()
    world.change("import", generation=1)
    world.end("import", 43)
    world.act()
    assert reason(world, "Stalled") == "AccessDenied"
    world.run = edited(world.run, retries={"perStage": 5})
    world.to_the_end()
    assert world.run.status.ready
    assert world.started.count(PREFLIGHT) == 1 and world.started.count("import") == 2


def test_an_edit_asks_preflight_again_after_a_refusal_even_if_nothing_that_it_read_was_edited() -> None:
    world = World(run())
    world.act()
    world.change(PREFLIGHT, generation=1)
    world.end(PREFLIGHT, answer=PreflightResult(problems=(Problem(field="spec.artifacts", message="no Secret s3"),)))
    world.act()
    assert reason(world, "Accepted") == "PreflightFailed"
    world.run = edited(world.run, retries={"perStage": 5})  # the Secret exists now
    world.to_the_end()
    assert world.run.status.ready and world.started.count(PREFLIGHT) == 2


def refused(*problems: Problem) -> World:
    """A run that preflight refused, with its Job still there."""
    world = World(run())
    world.act()
    world.end(PREFLIGHT, answer=PreflightResult(problems=problems))
    world.change(PREFLIGHT, job="preflight-1")
    world.act()
    return world


NO_BUCKET = Problem(field="spec.artifacts.uri", message="there is no bucket: create it")


def test_a_refused_run_is_asked_again_by_itself_and_goes_on_once_the_cause_is_gone() -> None:
    world = refused(NO_BUCKET)
    planned = world.act()
    assert planned.actions == () and planned.requeue_at == world.now + PREFLIGHT_RETRY
    world.later(PREFLIGHT_RETRY.total_seconds())
    planned = world.act()
    assert [type(action) for action in planned.actions] == [RemoveAttempt, StartPreflight]
    assert reason(world, "Stalled") == "PreflightFailed" and world.act().actions == ()
    world.to_the_end()
    assert world.run.status.ready and world.started.count(PREFLIGHT) == 2


def test_a_run_that_is_refused_again_says_so_and_is_asked_no_sooner_than_before() -> None:
    world = refused(NO_BUCKET)
    stalled = world.run.status.condition("Stalled")
    world.later(PREFLIGHT_RETRY.total_seconds())
    world.act()
    world.later(30)
    other = Problem(field="spec.baseModel.uri", message="there are no objects")
    world.end(PREFLIGHT, answer=PreflightResult(problems=(other,)))
    world.act()
    assert world.run.status.problems == (other,)
    assert world.act().requeue_at == world.now + PREFLIGHT_RETRY
    now = world.run.status.condition("Stalled")
    assert stalled is not None and now is not None and now.last_transition_time == stalled.last_transition_time


def test_a_run_whose_preflight_failed_is_asked_again_as_well() -> None:
    world = World(run(retries={"perStage": 0}))
    world.act()
    world.end(PREFLIGHT, 76)  # the store is away
    world.act()
    assert reason(world, "Stalled") == "Crash" and world.plan().requeue_at == world.now + PREFLIGHT_RETRY
    for _ in range(2):
        world.later(PREFLIGHT_RETRY.total_seconds())
        world.act()
        assert world.running() == [PREFLIGHT] and world.act().actions == ()
        world.end(PREFLIGHT, 76)
        assert world.act().actions == () and reason(world, "Stalled") == "Crash"
    world.later(PREFLIGHT_RETRY.total_seconds())
    world.act()
    world.to_the_end()
    assert world.run.status.ready and world.started.count(PREFLIGHT) == 4


def test_a_refused_run_that_is_suspended_is_not_asked_again() -> None:
    world = refused(NO_BUCKET)
    suspended = world.run.spec.model_copy(update={"suspend": True})
    world.run = world.run.model_copy(update={"spec": suspended})
    world.later(2 * PREFLIGHT_RETRY.total_seconds())
    planned = world.plan()
    assert planned.actions == () and planned.requeue_at is None


def test_problems_that_need_no_process_are_asked_for_again_as_well() -> None:
    world = World(run())
    found = (Problem(field="spec.podDefaults.template", message="there is no such priority class"),)
    world.run = world.run.model_copy(
        update={"status": plan(world.run, replace(world.observed(), problems=found), world.now).status}
    )
    assert world.plan().requeue_at == world.now + PREFLIGHT_RETRY
    world.later(PREFLIGHT_RETRY.total_seconds())
    assert [type(action) for action in world.plan().actions] == [StartPreflight]
    still = plan(world.run, replace(world.observed(), problems=found), world.now)
    assert still.actions == () and still.status.completion_time == world.now


def test_an_edit_after_the_end_begins_the_clock_anew_and_keeps_the_past() -> None:
    world = World(run())
    world.to_the_end()
    world.later(3600)
    world.run = edited(world.run, seed=7)
    world.act()
    assert world.run.status.start_time == world.now and world.run.status.completion_time is None
    assert [(past.generation, past.digest) for past in world.run.status.history] == [(1, "sha256:abc")]
    world.to_the_end()
    assert len(world.run.status.history) == 1


def test_another_pack_asks_preflight_again() -> None:
    world = World(run())
    world.to_the_end()
    observed = replace(world.observed(), pack="other content")
    assert [type(action) for action in plan(world.run, observed, world.now).actions] == [StartPreflight]


def test_gpu_hours_over_the_budget_stop_the_run() -> None:
    world = World(run(budget={"gpuHours": 2}))
    world.act()
    world.end(PREFLIGHT)
    world.act()
    world.change("import", pods=(Pod(created=world.now, began=world.now, devices=4),))
    world.later(900)
    assert not world.act().finished and world.run.status.gpu_hours == 1
    world.later(900)
    planned = world.act()
    assert planned.finished and reason(world, "Stalled") == "GpuBudgetExceeded"
    assert {type(action) for action in planned.actions} == {StopAttempt}


def test_what_keeps_a_process_from_running_is_the_reason() -> None:
    world = World(run())
    world.act()
    world.change(PREFLIGHT, pending=Failure(reason="Unschedulable", message="0/1 nodes"))
    world.act()
    assert reason(world, "Reconciling") == "Unschedulable" and world.run.status.phase == "Preflight"


def test_problems_that_need_no_process_refuse_the_run_at_once() -> None:
    world = World(run())
    found = (Problem(field="spec.artifacts", message="is missing"),)
    told = plan(world.run, replace(world.observed(), problems=found), world.now)
    assert told.actions == () and told.status.problems == found
    accepted = told.status.condition("Accepted")
    assert accepted is not None and accepted.status == "False"


def test_processes_of_a_run_that_ended_are_removed_when_their_time_is_over() -> None:
    world = World(run(ttlSecondsAfterFinished=600))
    world.to_the_end()
    for id_ in world.attempts:
        world.change(id_, job=f"job-{id_}")
    plan_before = world.act()
    assert plan_before.actions == () and plan_before.requeue_at is not None
    world.now = plan_before.requeue_at
    world.act()
    assert not any(world.attempts.values())
    assert world.act().actions == () and world.run.status.ready


def test_restart_stops_even_what_still_fits() -> None:
    world = World(run(onSpecChange="Restart"))
    world.act()
    world.end(PREFLIGHT)
    world.act()
    world.change("import", generation=1)
    world.run = edited(world.run, onSpecChange="Restart", retries={"perStage": 9})
    assert [type(action) for action in world.act().actions] == [StopAttempt]
