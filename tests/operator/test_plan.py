"""The plan: what is started, retried, stopped and told."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operator.builders import World, leaf_digests, result, run

from selfalign_operator.api.status import RunStatus
from selfalign_operator.planning import graph
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.plan import StartPreflight, StartStep, StopAttempt
from selfalign_stages.contract.graph import keys
from selfalign_stages.contract.task import Failure, PreflightResult, Problem, Progress

ALL = {step.id for step in graph.steps(run())}


def truths(status: RunStatus) -> dict[str, str]:
    return {condition.type: condition.status for condition in status.conditions}


def reason(status: RunStatus, type_: Any = "Ready") -> str:
    condition = status.condition(type_)
    assert condition is not None
    return condition.reason


def step_of(status: RunStatus, id_: str) -> Any:
    return next(step for stage in status.stages for step in stage.steps if step.name == id_)


def world_at(*finished: str, **spec: Any) -> World:
    """A world in which preflight and these steps have ended well, and what follows has been started."""
    world = World(run(**spec))
    world.act()
    world.end(PREFLIGHT)
    world.act()
    for id_ in finished:
        world.end(id_)
        world.act()
    return world


def test_preflight_comes_first_and_alone() -> None:
    plan = World(run()).plan()
    assert [type(action) for action in plan.actions] == [StartPreflight]
    assert truths(plan.status)["Accepted"] == "Unknown"
    assert plan.status.phase == "Preflight"


def test_a_run_ends_ready_with_every_step_run_once() -> None:
    world = World(run())
    plan = world.to_the_end()
    assert plan.status.ready and plan.finished
    assert sorted(world.started) == sorted([PREFLIGHT, *ALL])
    assert truths(plan.status) == {
        "Accepted": "True",
        "Reconciling": "False",
        "Stalled": "False",
        "Succeeded": "True",
        "Ready": "True",
    }
    assert plan.status.image is not None and plan.status.image.digest == "sha256:abc"
    assert plan.status.progress == "100%"


def test_planning_again_when_all_is_done_changes_nothing() -> None:
    world = World(run())
    before = world.to_the_end()
    world.later(3600)
    assert world.plan().actions == ()
    assert world.plan().status == before.status


def test_planning_is_deterministic() -> None:
    world = world_at("import")
    assert world.plan() == world.plan()


def test_running_steps_are_not_started_again() -> None:
    world = world_at("import")
    assert world.running() == [
        "evaluation-score-base",
        "evaluation-score-prompted",
        "redteaming-instructions",
        "redteaming-topics",
    ]
    assert world.plan().actions == ()


def test_a_machine_with_two_slots_runs_two_steps_at_most() -> None:
    world = World(run(), slots=2)
    world.act()
    while world.running():
        assert len(world.running()) <= 2
        world.end(world.running()[-1])
        world.act()
    assert world.plan().status.ready


def test_finished_steps_are_hits_and_are_not_started() -> None:
    one = run()
    found = {
        id_: result(id_, key, cache="Hit")
        for id_, key in keys(graph.steps(one), leaves=leaf_digests(one), seed=one.spec.seed).items()
    }
    world = World(one, found=found)
    plan = world.to_the_end()
    assert world.started == [PREFLIGHT]
    assert plan.status.ready
    assert {stage.cache for stage in plan.status.stages} == {"Hit"}


def test_an_artifact_under_another_key_is_no_hit() -> None:
    world = World(run(), found={"import": result("import", "0" * 64, cache="Hit")})
    world.act()
    world.end(PREFLIGHT)
    world.act()
    assert world.running() == ["import"]


def test_what_lies_before_a_hit_is_skipped_when_nothing_else_needs_it() -> None:
    one = run()
    all_keys = keys(graph.steps(one), leaves=leaf_digests(one), seed=one.spec.seed)
    found = {id_: result(id_, all_keys[id_], cache="Hit") for id_ in ("import", "redteaming-prompts")}
    world = World(one, found=found)
    plan = world.to_the_end()
    assert plan.status.ready
    assert not {"redteaming-topics", "redteaming-questions", "redteaming-instructions"} & set(world.started)
    assert step_of(plan.status, "redteaming-topics").state == "Skipped"


def test_problems_found_by_preflight_are_told_and_nothing_starts() -> None:
    world = World(run())
    world.act()
    problem = Problem(field="spec.baseModel.uri", value="x", message="weights are pickled")
    world.end(PREFLIGHT, answer=PreflightResult(problems=(problem,)))
    plan = world.act()
    assert plan.finished and plan.actions == ()
    assert truths(plan.status)["Accepted"] == "False"
    assert truths(plan.status)["Stalled"] == "True"
    assert plan.status.problems == (problem,)
    assert "weights are pickled" in plan.status.conditions[0].message


@pytest.mark.parametrize("code", [42, 43, 44])
def test_final_exit_codes_stall_the_run_and_stop_what_runs(code: int) -> None:
    world = world_at("import")
    world.end("redteaming-topics", code)
    plan = world.act()
    assert plan.finished and truths(plan.status)["Stalled"] == "True"
    assert truths(plan.status)["Ready"] == "False"
    assert {action.id for action in plan.actions if isinstance(action, StopAttempt)} == set(world.running())
    assert world.act().actions == ()


def test_crashes_are_retried_as_often_as_allowed_and_later_each_time() -> None:
    world = world_at(retries={"perStage": 2})
    waits = []
    for _ in range(2):
        world.end("import", 1)
        plan = world.act()
        assert world.running() == [] and plan.requeue_at is not None
        waits.append((plan.requeue_at - world.now).total_seconds())
        world.now = plan.requeue_at
        world.act()
        assert world.running() == ["import"]
    world.end("import", 1)
    plan = world.act()
    assert waits == [1, 2]
    assert plan.finished and reason(plan.status) == "Crash"
    assert step_of(plan.status, "import").attempt == 3


def test_while_a_step_is_tried_again_the_reason_of_its_last_end_is_told() -> None:
    world = world_at()
    world.end("import", 76)
    world.change("import", failure=Failure(reason="Unavailable", message="cannot reach s3://runs"))
    waiting = world.act()
    assert reason(waiting.status) == "Retrying"
    assert waiting.requeue_at is not None
    world.now = waiting.requeue_at
    again = world.act()
    assert world.running() == ["import"]
    for status in (waiting.status, again.status):
        told = status.condition("Reconciling")
        assert told is not None and told.status == "True" and "cannot reach s3://runs" in told.message
    world.end("import")
    assert reason(world.act().status) != "Retrying"


def test_unavailable_services_are_given_more_time() -> None:
    world = world_at()
    world.end("import", 76)
    wake = world.act().requeue_at
    assert wake is not None and (wake - world.now).total_seconds() == 10


def test_stops_by_sigterm_are_retried_at_once_and_not_counted_as_crashes() -> None:
    world = world_at(retries={"perStage": 0, "preemptions": 5})
    for _ in range(5):
        world.end("import", 75)
        world.act()
        assert world.running() == ["import"]
    world.end("import", 75)
    assert reason(world.act().status) == "TooManyPreemptions"


def test_an_end_without_a_result_is_a_crash() -> None:
    world = world_at(retries={"perStage": 0})
    world.end("import")
    world.change("import", result=None)
    assert reason(world.act().status) == "NoResult"


def test_a_failed_gate_stalls_and_packs_nothing() -> None:
    metrics = {"evaluation-gate": {"passed": False, "failedGates": "engraved.hhh.overall >= 0.9"}}
    world = World(run(), metrics=metrics)
    plan = world.to_the_end()
    assert "packaging-image" not in world.started
    assert reason(plan.status, "Stalled") == "GateFailed"
    assert "engraved.hhh.overall >= 0.9" in plan.status.conditions[2].message
    assert plan.status.image is None
    assert plan.status.evaluation is not None and not plan.status.evaluation.passed


def test_suspending_stops_what_runs_and_resuming_goes_on() -> None:
    world = world_at("import")
    resumed = world.run
    suspended = world.run.model_copy(update={"spec": world.run.spec.model_copy(update={"suspend": True})})
    world.run = suspended
    plan = world.act()
    assert plan.status.phase == "Suspended" and truths(plan.status)["Stalled"] == "False"
    assert {type(action) for action in plan.actions} == {StopAttempt}
    for id_ in world.running():
        world.end(id_, 75)
    assert world.act().actions == ()
    world.run = resumed
    assert world.to_the_end().status.ready


def test_a_run_over_its_deadline_is_stopped() -> None:
    world = world_at("import", budget={"deadline": "1h"})
    world.later(3599)
    assert not world.act().finished
    world.later(1)
    plan = world.act()
    assert plan.finished and reason(plan.status, "Stalled") == "DeadlineExceeded"
    assert {type(action) for action in plan.actions} == {StopAttempt}


def test_an_attempt_for_another_key_is_stopped_before_a_new_one_starts() -> None:
    world = world_at("import")
    other = run(seed=7)
    world.run = other
    plan = world.act()
    assert StartPreflight in {type(action) for action in plan.actions}
    world.end(PREFLIGHT)
    plan = world.act()
    stopped = {action.id for action in plan.actions if isinstance(action, StopAttempt)}
    begun = {action.step.id for action in plan.actions if isinstance(action, StartStep)}
    assert not begun & set(world.observed().running()) - begun
    for id_ in stopped:
        world.end(id_, 75)
    assert world.to_the_end().status.ready


def test_transition_times_stay_until_a_condition_changes() -> None:
    world = world_at()
    before = world.run.status.condition("Reconciling")
    world.later(60)
    world.act()
    assert world.run.status.condition("Reconciling") == before


def test_a_run_is_accepted_when_preflight_says_so_and_not_before() -> None:
    world = World(run(suspend=True))
    assert truths(world.act().status)["Accepted"] == "Unknown"
    world = World(run(retries={"perStage": 0}))
    assert truths(world.act().status)["Accepted"] == "Unknown"
    world.end(PREFLIGHT, 1)
    told = world.act().status
    assert truths(told)["Accepted"] == "False" and truths(told)["Stalled"] == "True"
    world = World(run())
    world.act()
    world.end(PREFLIGHT)
    assert truths(world.act().status)["Accepted"] == "True"


def test_a_step_that_runs_counts_in_part() -> None:
    world = World(run())
    world.act()
    world.end(PREFLIGHT)
    world.act()
    steps = len(world.run.status.steps)
    assert world.act().status.progress == "0%"
    world.change("import", progress=Progress(done=75, total=100, unit="files"))
    assert world.act().status.progress == f"{75 // steps}%"


def test_the_status_tells_counts_keys_and_progress_by_stage() -> None:
    status = world_at("import").run.status
    assert [stage.name for stage in status.stages] == [
        "import",
        "redTeaming",
        "selfAlign",
        "engraving",
        "cloning",
        "evaluation",
        "packaging",
    ]
    stage = status.stages[0]
    assert stage.state == "Succeeded" and stage.cache == "Miss" and stage.key
    assert status.stage == "redTeaming" and status.phase == "RedTeaming"
    assert status.to_dict()["observedGeneration"] == 1


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([None, 1, 2, 3]))
def test_any_order_of_events_reaches_the_same_end(source: random.Random, slots: int | None) -> None:
    world = World(run(), slots=slots)
    plan = world.to_the_end(lambda ids: source.choice(ids))
    assert plan.status.ready
    assert sorted(world.started) == sorted([PREFLIGHT, *ALL])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from([0, 0, 0, 1, 42, 75, 76, -9])), max_size=60))
def test_no_step_starts_before_its_inputs_and_never_twice_at_once(events: list[tuple[int, int]]) -> None:
    world = World(run(retries={"perStage": 1}), slots=3)
    for pick, code in events:
        world.act()  # asserts that inputs exist
        for attempts in world.attempts.values():
            assert sum(attempt.running for attempt in attempts) <= 1
        if world.running():
            world.end(world.running()[pick % len(world.running())], code)
        world.later(pick)
    numbers = {id_: [attempt.number for attempt in tried] for id_, tried in world.attempts.items()}
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())
