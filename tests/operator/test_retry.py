"""What the annotation selfalign.dev/retry does to a plan: fresh attempts, and steps that are made anew."""

import pytest
from tests.operator.builders import SimulatedRun, leaf_digests, run, simulated_after

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus
from selfalign_operator.planning import graph, retry, tasks
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.plan import RemoveAttempt, StartPreflight, StartStep
from selfalign_operator.planning.store_location import in_pods
from selfalign_stages.contract.graph import Step, keys
from selfalign_stages.contract.task import PreflightResult, Problem

STEPS = graph.steps(run())
NO_RETRIES = {"retries": {"perStage": 0}}


def annotated(one: SelfAlignRun, value: str) -> SelfAlignRun:
    metadata = one.metadata.model_copy(update={"annotations": {retry.RETRY: value}})
    return one.model_copy(update={"metadata": metadata})


def annotate(simulated: SimulatedRun, value: str) -> None:
    simulated.run = annotated(simulated.run, value)


def keys_of(one: SelfAlignRun) -> dict[str, str]:
    return keys(graph.steps(one), leaves=leaf_digests(one), seed=one.spec.seed)


def readers(id_: str) -> set[str]:
    """A step, and all that read its artifact or one that was made from it."""
    found = {id_}
    for step in STEPS:
        if found.intersection(step.inputs.values()):
            found.add(step.id)
    return found


def stalled(status: RunStatus) -> bool:
    condition = status.condition("Stalled")
    return condition is not None and condition.status == "True"


def failed_at(id_: str, *before: str) -> SimulatedRun:
    """A run without retries that a crash of one step has ended, whose other processes have stopped."""
    simulated = simulated_after(*before, **NO_RETRIES)
    simulated.end(id_, 1)
    simulated.reconcile()
    for other in simulated.running():
        simulated.end(other, 75)
    assert stalled(simulated.reconcile().status)
    return simulated


def test_a_failed_run_is_tried_again_and_what_is_good_is_not_touched() -> None:
    simulated = failed_at("redteaming-topics", "import")
    simulated.started.clear()
    annotate(simulated, "again")
    assert not stalled(simulated.reconcile().status)
    assert "redteaming-topics" in simulated.running()
    assert simulated.to_the_end().status.ready
    assert not {PREFLIGHT, "import"} & set(simulated.started)


def test_the_message_of_a_failed_job_names_the_command_that_tries_again() -> None:
    simulated = simulated_after("import", **NO_RETRIES)
    simulated.end("redteaming-topics", 1)
    simulated.change("redteaming-topics", job="trial-redteaming-topics-1")
    stalled_by = simulated.reconcile().status.condition("Stalled")
    assert stalled_by is not None
    assert stalled_by.message.endswith("Once the cause is gone: selfalign retry trial --namespace default")


def test_a_retry_gives_all_attempts_again_and_once() -> None:
    simulated = failed_at("redteaming-topics", "import")
    annotate(simulated, "again")
    simulated.reconcile()
    simulated.end("redteaming-topics", 1)
    for _ in range(2):
        assert stalled(simulated.reconcile().status)
        for other in simulated.running():
            simulated.end(other, 75)
    assert simulated.plan().actions == ()
    assert simulated.plan().status == simulated.run.status
    annotate(simulated, "once-more")
    assert simulated.to_the_end().status.ready


def test_a_retry_counts_for_jobs_that_are_gone() -> None:
    simulated = failed_at("redteaming-topics", "import")
    simulated.attempts.clear()
    assert simulated.plan().actions == ()
    annotate(simulated, "again")
    assert {action.step.id for action in simulated.plan().actions if isinstance(action, StartStep)} >= {
        "redteaming-topics"
    }


def test_removing_the_annotation_starts_nothing() -> None:
    simulated = failed_at("redteaming-topics", "import")
    annotate(simulated, "again")
    simulated.reconcile()
    simulated.end("redteaming-topics", 1)
    simulated.reconcile()
    for other in simulated.running():
        simulated.end(other, 75)
    simulated.reconcile()
    simulated.run = simulated.run.model_copy(
        update={"metadata": simulated.run.metadata.model_copy(update={"annotations": {}})}
    )
    assert simulated.reconcile().actions == ()
    assert stalled(simulated.reconcile().status)


def test_a_refused_run_is_checked_again_at_once() -> None:
    simulated = SimulatedRun(run())
    simulated.reconcile()
    refusal = PreflightResult(problems=(Problem(field="spec.baseModel.uri", message="no such bucket"),))
    simulated.end(PREFLIGHT, answer=refusal)
    simulated.reconcile()
    assert simulated.reconcile().actions == ()
    annotate(simulated, "again")
    assert [type(action) for action in simulated.reconcile().actions if not isinstance(action, RemoveAttempt)] == [
        StartPreflight
    ]
    assert simulated.to_the_end().status.ready


def test_a_run_beyond_its_preemptions_has_them_again() -> None:
    simulated = simulated_after("import", retries={"preemptions": 1})
    for _ in range(2):
        simulated.end("redteaming-topics", 75)
        simulated.reconcile()
    assert stalled(simulated.reconcile().status)
    for other in simulated.running():
        simulated.end(other, 75)
    simulated.reconcile()
    annotate(simulated, "again")
    assert not stalled(simulated.reconcile().status)
    assert simulated.to_the_end().status.ready


@pytest.mark.parametrize("id_", [step.id for step in STEPS])
def test_a_step_that_is_made_anew_is_run_again_with_all_that_read_it_and_no_other(id_: str) -> None:
    simulated = SimulatedRun(run())
    simulated.to_the_end()
    before = {name: step.key for name, step in simulated.run.status.steps.items()}
    simulated.started.clear()
    annotate(simulated, f"{id_}@1")
    assert simulated.to_the_end().status.ready
    assert set(simulated.started) == readers(id_)
    assert len(simulated.started) == len(readers(id_))
    after = {name: step.key for name, step in simulated.run.status.steps.items()}
    assert {name for name in after if after[name] != before[name]} == readers(id_)
    status = simulated.run.status
    assert simulated.plan().actions == () and simulated.plan().status == status


def test_a_step_that_is_made_anew_draws_other_samples() -> None:
    store = {"artifacts": {"uri": "s3://runs/a"}}
    seeds = set()
    for value in ("", "selfalign-answers@1", "selfalign-answers@2"):
        simulated = simulated_after("import", **store)
        annotate(simulated, value)
        task_seeds = {}
        while not simulated.run.status.ready:
            for id_ in simulated.running():
                simulated.end(id_)
            for action in simulated.plan().actions:
                if isinstance(action, StartStep):
                    task_seeds[action.step.id] = tasks.step(simulated.run, action, in_pods(simulated.run)).seed
            simulated.reconcile()
        seeds.add(task_seeds["selfalign-answers"])
        assert task_seeds["engraving-train"] == 42, "what reads it has another input, and needs no other seed"
    assert len(seeds) == 3 and 42 in seeds


def test_what_was_made_anew_stays_when_another_step_is() -> None:
    simulated = SimulatedRun(run())
    simulated.to_the_end()
    annotate(simulated, "selfalign-answers@1")
    simulated.to_the_end()
    answers = simulated.run.status.steps["selfalign-answers"].key
    simulated.started.clear()
    annotate(simulated, "engraving-merge@2")
    assert simulated.to_the_end().status.ready
    assert simulated.run.status.steps["selfalign-answers"].key == answers
    assert set(simulated.started) == readers("engraving-merge")
    simulated.run = annotated(simulated.run, "")
    assert simulated.to_the_end().status.steps["selfalign-answers"].key == answers


def test_without_its_status_a_run_has_the_keys_of_its_annotation() -> None:
    simulated = SimulatedRun(annotated(run(), "selfalign-answers@1"))
    simulated.to_the_end()
    again = SimulatedRun(annotated(run(), "selfalign-answers@1"))
    again.to_the_end()
    assert {name: step.key for name, step in again.run.status.steps.items()} == {
        name: step.key for name, step in simulated.run.status.steps.items()
    }
    assert keys_of(annotated(run(), "selfalign-answers@1")) != keys_of(run())


def test_a_retry_of_a_running_run_stops_only_what_is_made_anew() -> None:
    simulated = simulated_after("import")
    running = simulated.running()
    annotate(simulated, "redteaming-topics@1")
    simulated.reconcile()
    stopping = {id_ for id_, attempt in simulated.observed().running().items() if attempt.stopping}
    assert stopping == {"redteaming-topics"}
    assert simulated.running() == running
    simulated.end("redteaming-topics", 75)
    assert simulated.to_the_end().status.ready


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("selfalign-answer@1", ("'selfalign-answer'", *(step.id for step in STEPS))),
        ("@1", ("''", "engraving-train")),
        ("selfalign-answers", ("selfalign-answers@",)),
        ("selfalign-answers@", ("''", "letters, digits")),
        ("selfalign-answers@a b", ("'a b'", "letters, digits")),
        ("x" * 33, ("x" * 33, "letters, digits")),
        (",".join(f"import@{number}" for number in range(300)), ("1024",)),
    ],
)
def test_a_mistake_in_the_annotation_is_reported_and_starts_nothing(value: str, words: tuple[str, ...]) -> None:
    for simulated in (failed_at("redteaming-topics", "import"), SimulatedRun(run())):
        if not simulated.attempts:
            simulated.to_the_end()
        before = simulated.run.status
        annotate(simulated, value)
        planned = simulated.reconcile()
        assert planned.actions == ()
        assert planned.status.retry is not None and planned.status.retry.refused is not None
        assert all(word in planned.status.retry.refused for word in words)
        assert planned.status.model_copy(update={"retry": None}) == before.model_copy(update={"retry": None})
        assert simulated.plan().status == planned.status


def test_the_nonce_that_the_refusal_of_a_bare_step_asks_for_is_accepted() -> None:
    simulated = SimulatedRun(run())
    simulated.to_the_end()
    annotate(simulated, "selfalign-answers")
    refused = simulated.reconcile().status.retry
    assert refused is not None and refused.refused is not None
    remedy = refused.refused.partition("write ")[2].split()[0]
    annotate(simulated, f"{remedy}new")
    assert not simulated.reconcile().finished
    assert simulated.run.status.retry is not None and simulated.run.status.retry.refused is None


def test_a_mistake_beside_a_step_does_not_keep_the_step_from_being_made_anew() -> None:
    simulated = SimulatedRun(run())
    simulated.to_the_end()
    annotate(simulated, "evaluation-gate@1, no-such-step@1")
    simulated.started.clear()
    simulated.to_the_end()
    assert set(simulated.started) == readers("evaluation-gate")


def test_steps_without_a_nonce_keep_their_keys() -> None:
    plain = Step(id="import", stage="import", kind="import", parameters={}, leaves=("baseModel",))
    (named,) = retry.with_nonces([plain], {"import": "1"})
    of = {"leaves": {"baseModel": "sha256:1"}, "seed": 1}
    assert keys([plain], **of) != keys([named], **of)  # type: ignore[arg-type]
    assert "nonce" not in plain.to_dict()
