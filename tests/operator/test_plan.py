"""What a plan starts and stops, and what its status reports, as long as nothing fails."""

import random
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operator.builders import SimulatedRun, leaf_digests, result, run, simulated_after

from selfalign_operator.api.status import RunStatus
from selfalign_operator.planning import graph
from selfalign_operator.planning.observation import PREFLIGHT, Observed
from selfalign_operator.planning.plan import StartPreflight, StartStep, StopAttempt, plan
from selfalign_stages.contract.graph import CHECK_STEP, keys
from selfalign_stages.contract.task import Failure, Progress

ALL = {step.id for step in graph.steps(run())}
TO_ANSWERS = (
    *(f"redteaming-{name}" for name in ("topics", "questions", "instructions", "prompts")),
    "selfalign-answers",
)


def condition_statuses(status: RunStatus) -> dict[str, str]:
    return {condition.type: condition.status for condition in status.conditions}


def step_of(status: RunStatus, id_: str) -> Any:
    return next(step for stage in status.stages for step in stage.steps if step.name == id_)


def test_preflight_comes_first_and_alone() -> None:
    planned = SimulatedRun(run()).plan()
    assert [type(action) for action in planned.actions] == [StartPreflight]
    assert condition_statuses(planned.status)["Accepted"] == "Unknown"
    assert planned.status.phase == "Preflight"


def test_a_run_ends_ready_with_every_step_run_once() -> None:
    simulated = SimulatedRun(run())
    planned = simulated.to_the_end()
    assert planned.status.ready and planned.finished
    assert sorted(simulated.started) == sorted([PREFLIGHT, *ALL])
    assert condition_statuses(planned.status) == {
        "Accepted": "True",
        "Reconciling": "False",
        "Stalled": "False",
        "Succeeded": "True",
        "Ready": "True",
    }
    assert planned.status.image is not None and planned.status.image.digest == "sha256:abc"
    assert planned.status.progress == "100%"


def test_replanning_a_finished_run_changes_nothing() -> None:
    simulated = SimulatedRun(run())
    before = simulated.to_the_end()
    simulated.advance(3600)
    assert simulated.plan().actions == ()
    assert simulated.plan().status == before.status


def test_a_plan_depends_neither_on_the_order_of_attempts_nor_on_serialisation() -> None:
    simulated = simulated_after("import")
    status = RunStatus.model_validate_json(simulated.run.status.model_dump_json(by_alias=True, exclude_none=True))
    reread = simulated.run.model_copy(update={"status": status})
    attempts = {id_: attempts[::-1] for id_, attempts in reversed(list(simulated.observed().attempts.items()))}
    assert plan(reread, Observed(attempts), simulated.now) == simulated.plan()


def test_running_steps_are_not_started_twice() -> None:
    simulated = simulated_after("import")
    assert simulated.running() == [
        "evaluation-score-base",
        "evaluation-score-prompted",
        "redteaming-instructions",
        "redteaming-topics",
    ]
    assert simulated.plan().actions == ()


def test_a_machine_with_two_slots_runs_two_steps_at_most() -> None:
    simulated = SimulatedRun(run(), slots=2)
    simulated.reconcile()
    while simulated.running():
        assert len(simulated.running()) <= 2
        simulated.end(simulated.running()[-1])
        simulated.reconcile()
    assert simulated.plan().status.ready


def test_finished_steps_are_hits_and_are_not_started() -> None:
    one = run()
    hits = {
        id_: result(id_, key, cache="Hit")
        for id_, key in keys(graph.steps(one), leaves=leaf_digests(one), seed=one.spec.seed).items()
    }
    simulated = SimulatedRun(one, hits=hits)
    planned = simulated.to_the_end()
    assert simulated.started == [PREFLIGHT]
    assert planned.status.ready
    assert {stage.cache for stage in planned.status.stages} == {"Hit"}


def test_an_artifact_under_another_key_is_no_hit() -> None:
    simulated = SimulatedRun(run(), hits={"import": result("import", "0" * 64, cache="Hit")})
    simulated.reconcile()
    simulated.end(PREFLIGHT)
    simulated.reconcile()
    assert simulated.running() == ["import"]


def test_steps_before_a_hit_are_skipped_unless_another_step_needs_them() -> None:
    one = run()
    all_keys = keys(graph.steps(one), leaves=leaf_digests(one), seed=one.spec.seed)
    hits = {id_: result(id_, all_keys[id_], cache="Hit") for id_ in ("import", "redteaming-prompts")}
    simulated = SimulatedRun(one, hits=hits)
    planned = simulated.to_the_end()
    assert planned.status.ready
    assert not {"redteaming-topics", "redteaming-questions", "redteaming-instructions"} & set(simulated.started)
    assert step_of(planned.status, "redteaming-topics").state == "Skipped"


def test_suspending_stops_running_steps_and_resuming_continues() -> None:
    simulated = simulated_after("import")
    resumed = simulated.run
    suspended_spec = simulated.run.spec.model_copy(update={"suspend": True})
    simulated.run = simulated.run.model_copy(update={"spec": suspended_spec})
    planned = simulated.reconcile()
    assert planned.status.phase == "Suspended" and condition_statuses(planned.status)["Stalled"] == "False"
    assert {type(action) for action in planned.actions} == {StopAttempt}
    for id_ in simulated.running():
        simulated.end(id_, 75)
    assert simulated.reconcile().actions == ()
    simulated.run = resumed
    assert simulated.to_the_end().status.ready


def test_an_attempt_for_an_old_key_is_stopped_before_a_new_one_starts() -> None:
    simulated = simulated_after("import")
    simulated.run = run(seed=7)
    planned = simulated.reconcile()
    assert StartPreflight in {type(action) for action in planned.actions}
    simulated.end(PREFLIGHT)
    planned = simulated.reconcile()
    stopped = {action.id for action in planned.actions if isinstance(action, StopAttempt)}
    started = {action.step.id for action in planned.actions if isinstance(action, StartStep)}
    assert not started & set(simulated.observed().running()) - started
    for id_ in stopped:
        simulated.end(id_, 75)
    assert simulated.to_the_end().status.ready


def test_transition_times_stay_until_a_condition_changes() -> None:
    simulated = simulated_after()
    before = simulated.run.status.condition("Reconciling")
    simulated.advance(60)
    simulated.reconcile()
    assert simulated.run.status.condition("Reconciling") == before


def test_a_run_is_accepted_when_preflight_accepts_it_and_not_before() -> None:
    simulated = SimulatedRun(run(suspend=True))
    assert condition_statuses(simulated.reconcile().status)["Accepted"] == "Unknown"
    simulated = SimulatedRun(run(retries={"perStage": 0}))
    assert condition_statuses(simulated.reconcile().status)["Accepted"] == "Unknown"
    simulated.end(PREFLIGHT, 1)
    statuses = condition_statuses(simulated.reconcile().status)
    assert statuses["Accepted"] == "False" and statuses["Stalled"] == "True"
    simulated = SimulatedRun(run())
    simulated.reconcile()
    simulated.end(PREFLIGHT)
    assert condition_statuses(simulated.reconcile().status)["Accepted"] == "True"


def test_a_running_step_counts_by_its_own_progress() -> None:
    simulated = simulated_after()
    steps = len(simulated.run.status.steps)
    assert simulated.reconcile().status.progress == "0%"
    simulated.change("import", progress=Progress(done=75, total=100, unit="files"))
    assert simulated.reconcile().status.progress == f"{75 // steps}%"


def test_a_training_has_its_losses_in_the_status_while_it_runs_and_when_it_has_ended() -> None:
    trained: dict[str, Any] = {"steps": 30, "firstLoss": 2.5, "lastLoss": 0.31, "lastValidationLoss": 0.44}
    simulated = SimulatedRun(run(), metrics={"engraving-train": trained})
    simulated.reconcile()
    while "engraving-train" not in simulated.running():
        simulated.end(simulated.running()[0])
        simulated.reconcile()
    running = Progress(done=3, total=30, unit="optimizer steps", metrics={"loss": 1.2, "validationLoss": 1.5})
    simulated.change("engraving-train", progress=running)
    step = simulated.reconcile().status.steps["engraving-train"]
    assert (step.state, step.loss, step.validation_loss) == ("Running", 1.2, 1.5)
    simulated.end("engraving-train")
    status = simulated.to_the_end().status
    step = status.steps["engraving-train"]
    assert (step.state, step.loss, step.validation_loss) == ("Succeeded", 0.31, 0.44)
    assert status.steps["cloning-train"].loss is None
    # The Job is gone, and the store is not asked again: what was recorded stays.
    simulated.attempts.clear()
    assert simulated.reconcile().status.steps["engraving-train"] == step


def test_the_status_reports_counts_keys_and_progress_by_stage() -> None:
    status = simulated_after("import").run.status
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


def test_a_stage_counts_the_time_in_which_steps_overlap_once() -> None:
    simulated = simulated_after("import")
    for id_, seconds in (("redteaming-topics", 30), ("redteaming-instructions", 10)):
        simulated.advance(seconds)
        simulated.end(id_)
        simulated.reconcile()
    for id_ in ("redteaming-questions", "redteaming-prompts"):
        simulated.advance(5)
        simulated.end(id_)
        simulated.reconcile()
    # topics 0..30, instructions 0..40, questions 30..45, prompts 45..50
    assert simulated.run.status.stages[1].seconds == 50


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([None, 1, 2, 3]))
def test_any_order_of_events_reaches_the_same_end(source: random.Random, slots: int | None) -> None:
    simulated = SimulatedRun(run(), slots=slots)
    planned = simulated.to_the_end(lambda ids: source.choice(ids))
    assert planned.status.ready
    assert sorted(simulated.started) == sorted([PREFLIGHT, *ALL])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from([0, 0, 0, 1, 42, 75, 76, -9])), max_size=60))
def test_no_step_starts_before_its_inputs_or_beside_itself(events: list[tuple[int, int]]) -> None:
    simulated = SimulatedRun(run(retries={"perStage": 1}), slots=3)
    for pick, code in events:
        simulated.reconcile()  # asserts that inputs exist
        for attempts in simulated.attempts.values():
            assert sum(attempt.running for attempt in attempts) <= 1
        if simulated.running():
            simulated.end(simulated.running()[pick % len(simulated.running())], code)
        simulated.advance(pick)
    numbers = {id_: [attempt.number for attempt in tried] for id_, tried in simulated.attempts.items()}
    assert all(used == list(range(1, len(used) + 1)) for used in numbers.values())


def test_a_plan_for_a_cluster_does_not_count_slots() -> None:
    simulated = simulated_after("import")
    limited = replace(simulated.observed(), slots=len(simulated.running()))
    simulated.attempts["redteaming-topics"] = []
    assert plan(simulated.run, replace(limited, attempts=simulated.observed().attempts), simulated.now).actions != ()


def test_training_waits_for_the_check_and_an_edit_of_a_threshold_moves_a_stopped_run_on() -> None:
    simulated = simulated_after("import", "evaluation-score-base", "evaluation-score-prompted", *TO_ANSWERS)
    assert simulated.running() == [CHECK_STEP]
    simulated.end(CHECK_STEP, 42)
    simulated.change(CHECK_STEP, failure=Failure(reason="PromptingDoesNotHelp", message="scores +0.000"))
    stopped = simulated.reconcile()
    assert stopped.finished and condition_statuses(stopped.status)["Stalled"] == "True"
    stalled = stopped.status.condition("Stalled")
    assert stalled is not None and stalled.reason == "PromptingDoesNotHelp" and "+0.000" in stalled.message
    edited = run(stages={"selfAlign": {"requirements": {"promptingGain": -1}}})
    metadata = edited.metadata.model_copy(update={"generation": 2})
    simulated.run = edited.model_copy(update={"metadata": metadata, "status": stopped.status})
    for id_, attempts in simulated.attempts.items():
        simulated.attempts[id_] = [replace(attempt, generation=1) for attempt in attempts]
    simulated.to_the_end()
    assert simulated.run.status.ready
    repeated = [id_ for id_ in simulated.started if id_ in TO_ANSWERS]
    assert sorted(repeated) == sorted(TO_ANSWERS), "what was generated is used, not made a second time"


def test_a_threshold_is_in_no_key_but_the_check_s() -> None:
    def keys_of(**requirements: float) -> dict[str, str]:
        made = run(stages={"selfAlign": {"requirements": requirements}})
        return keys(graph.steps(made), leaves=leaf_digests(made), seed=made.spec.seed)

    default, lower = keys_of(), keys_of(promptingGain=-1, keptShare=0, loopShare=1)
    assert {id_ for id_ in default if default[id_] != lower[id_]} == {CHECK_STEP}
