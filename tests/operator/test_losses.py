"""What a plan does about an input that is lost: its step runs again, then its reader, and the end is always reached."""

import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operator.builders import NOW, SimulatedRun, leaf_digests, result, run, simulated_after
from tests.operator.test_plan import step_of
from tests.operator.test_recorded import edited, reason
from tests.scale import scaled

from selfalign_operator.api.status import RunStatus, StepStatus
from selfalign_operator.planning import graph, losses
from selfalign_operator.planning.losses import Loss
from selfalign_operator.planning.observation import PREFLIGHT, Attempt, Observed
from selfalign_operator.planning.plan import RemoveAttempt, StartPreflight, StartStep, StopAttempt, plan
from selfalign_stages.contract.exits import ExitCode
from selfalign_stages.contract.graph import CHECK_STEP, GATE_STEP, IMAGE_STEP, keys
from selfalign_stages.contract.task import Failure, PreflightResult

RED_TEAMING = tuple(f"redteaming-{name}" for name in ("topics", "questions", "instructions", "prompts"))
TO_THE_GATE = (
    "import",
    *(f"evaluation-score-{variant}" for variant in ("base", "prompted")),
    *RED_TEAMING,
    *("selfalign-answers", CHECK_STEP),
    *("engraving-train", "engraving-merge", "cloning-answers", "cloning-train", "cloning-merge"),
    *(f"evaluation-score-{variant}" for variant in ("engraved", "cloned")),
)
ONE = run()
KEYS = keys(graph.steps(ONE), leaves=leaf_digests(ONE), seed=ONE.spec.seed)
STEP_OF = {key: id_ for id_, key in KEYS.items()}


def lose(simulated: SimulatedRun, reader: str, lost: str) -> None:
    """Ends a running step because the artifact of another one is lost."""
    failure = Failure(reason="InputLost", message=f"part of {lost} is missing", lost=KEYS[lost])
    simulated.advance(5)
    simulated.end(reader, ExitCode.INPUT_LOST)
    simulated.change(reader, failure=failure)


def after(*finished: str, **spec: Any) -> SimulatedRun:
    """As simulated_after, with processes that take five seconds each."""
    simulated = SimulatedRun(run(**spec))
    for id_ in (PREFLIGHT, *finished):
        simulated.reconcile()
        simulated.advance(5)
        simulated.end(id_)
    simulated.reconcile()
    return simulated


def test_the_step_that_makes_a_lost_input_runs_again_and_then_its_reader() -> None:
    simulated = after("import")
    lose(simulated, "redteaming-topics", "import")
    simulated.reconcile()
    assert "import" in simulated.running() and "redteaming-topics" not in simulated.running()
    simulated.advance(600)
    assert simulated.reconcile().actions == (), "the reader waits for its input, however long its delay is over"
    simulated.end("import")
    simulated.reconcile()
    assert "redteaming-topics" in simulated.running() and "import" not in simulated.running()
    assert simulated.to_the_end().status.ready
    assert (simulated.started.count("import"), simulated.started.count("redteaming-topics")) == (2, 2)


def test_the_run_says_what_is_lost_and_what_is_made_anew() -> None:
    simulated = after("import")
    lose(simulated, "redteaming-topics", "import")
    simulated.reconcile()
    status = simulated.plan().status
    assert step_of(status, "import").state == "Running" and step_of(status, "redteaming-topics").state == "Waiting"
    assert step_of(status, "redteaming-topics").message == "waits for import, which makes a lost input anew"
    condition = status.condition("Reconciling")
    assert condition is not None and (condition.status, condition.reason) == ("True", "InputLost")
    assert "part of import is missing" in condition.message and "waits for import" in condition.message
    simulated.end("import")
    simulated.reconcile()
    assert simulated.plan().status.condition("Reconciling").reason == "Retrying"  # type: ignore[union-attr]


def test_a_second_reconcile_writes_nothing() -> None:
    simulated = after("import")
    lose(simulated, "redteaming-topics", "import")
    simulated.reconcile()
    simulated.reconcile()
    again = simulated.plan()
    assert again.actions == () and again.status == simulated.run.status


def test_what_was_made_from_a_lost_artifact_is_kept() -> None:
    simulated = after("import", *RED_TEAMING)
    lose(simulated, "selfalign-answers", "import")
    simulated.to_the_end()
    assert simulated.run.status.ready
    assert [simulated.started.count(id_) for id_ in ("import", *RED_TEAMING)] == [2, 1, 1, 1, 1]


def test_an_input_whose_own_input_is_lost_too_is_made_from_the_beginning() -> None:
    simulated = after("import", *RED_TEAMING)
    lose(simulated, "selfalign-answers", "redteaming-prompts")
    simulated.reconcile()
    lose(simulated, "redteaming-prompts", "redteaming-questions")
    simulated.reconcile()
    assert "redteaming-questions" in simulated.running()
    assert not {"redteaming-prompts", "selfalign-answers"} & set(simulated.running())
    assert simulated.to_the_end().status.ready
    counts = [simulated.started.count(id_) for id_ in (*RED_TEAMING, "selfalign-answers")]
    assert counts == [1, 2, 1, 3, 2]


def test_steps_that_a_hit_had_made_needless_run_when_the_hit_is_lost() -> None:
    hits = {id_: result(id_, KEYS[id_], cache="Hit") for id_ in ("import", "redteaming-prompts")}
    simulated = SimulatedRun(run(), hits=hits)
    simulated.reconcile()
    simulated.end(PREFLIGHT)
    simulated.reconcile()
    lose(simulated, "selfalign-answers", "redteaming-prompts")
    simulated.to_the_end()
    assert simulated.run.status.ready and simulated.started.count("import") == 0
    assert [simulated.started.count(id_) for id_ in RED_TEAMING] == [1, 1, 1, 1]


def test_a_lost_gate_is_not_reported_as_passed_meanwhile() -> None:
    simulated = after(*TO_THE_GATE, GATE_STEP)
    assert simulated.running() == [IMAGE_STEP] and simulated.run.status.evaluation is not None
    lose(simulated, IMAGE_STEP, GATE_STEP)
    simulated.reconcile()
    status = simulated.plan().status
    assert status.evaluation is None and step_of(status, GATE_STEP).state == "Running" and not status.ready
    del simulated.attempts[PREFLIGHT]
    assert simulated.to_the_end().status.ready


def test_a_recorded_result_without_a_job_is_refuted_like_any_other() -> None:
    simulated = after("import")
    del simulated.attempts["import"], simulated.attempts[PREFLIGHT]
    simulated.reconcile()
    lose(simulated, "redteaming-topics", "import")
    simulated.reconcile()
    assert simulated.attempts["import"][-1].number == 2
    simulated.advance(5)
    simulated.end("import")
    simulated.reconcile()
    del simulated.attempts["import"]
    simulated.reconcile()
    assert "import" not in simulated.running(), "what was recorded after the report counts"
    assert "redteaming-topics" in simulated.running()


def test_a_report_that_is_deleted_does_not_stop_what_it_started() -> None:
    hits = {"import": result("import", KEYS["import"], cache="Hit")}
    for simulated in (after("import"), SimulatedRun(run(), hits=hits)):
        if PREFLIGHT not in simulated.attempts:
            simulated.reconcile()
            simulated.end(PREFLIGHT)
            simulated.reconcile()
        before = simulated.run
        lose(simulated, "redteaming-topics", "import")
        simulated.reconcile()
        del simulated.attempts["redteaming-topics"]
        for status in (before.status, simulated.run.status):
            simulated.run = simulated.run.model_copy(update={"status": status})
            assert not [one for one in simulated.plan().actions if isinstance(one, StopAttempt)]
        assert simulated.to_the_end().status.ready


def test_losses_exhaust_the_retries_of_their_reader() -> None:
    simulated = after("import", retries={"perStage": 2})
    for _ in range(2):
        lose(simulated, "redteaming-topics", "import")
        simulated.reconcile()
        simulated.advance(600)
        simulated.end("import")
        simulated.reconcile()
    lose(simulated, "redteaming-topics", "import")
    planned = simulated.reconcile()
    assert planned.finished and reason(simulated, "Stalled") == "InputLost"
    assert "redteaming-topics: part of import is missing" in planned.status.condition("Stalled").message  # type: ignore[union-attr]
    assert simulated.reconcile().actions == ()


def test_an_edit_forgives_losses_and_still_makes_the_lost_input_anew() -> None:
    simulated = after("import", retries={"perStage": 0})
    for attempts in simulated.attempts.values():
        attempts[:] = [replace(attempt, generation=1) for attempt in attempts]
    lose(simulated, "redteaming-topics", "import")
    simulated.reconcile()
    assert reason(simulated, "Stalled") == "InputLost"
    for id_ in simulated.running():
        simulated.end(id_, ExitCode.INTERRUPTED)
    simulated.run = edited(simulated.run, retries={"perStage": 1})
    simulated.to_the_end()
    assert simulated.run.status.ready and simulated.started.count("import") == 2


def test_an_artifact_that_many_readers_lose_fails_its_step_in_the_end_until_an_edit() -> None:
    readers = ("redteaming-topics", "redteaming-instructions", "evaluation-score-base", "evaluation-score-prompted")
    simulated = after("import", retries={"perStage": 1})
    for reader in readers[:3]:
        lose(simulated, reader, "import")
        simulated.reconcile()
        simulated.advance(600)
        if "import" in simulated.running():
            simulated.end("import")
        simulated.reconcile()
    assert reason(simulated, "Stalled") == "InputLost"
    message = simulated.run.status.condition("Stalled").message  # type: ignore[union-attr]
    assert message.startswith("import: its artifact was lost 3 times") and "part of import is missing" in message
    for id_, attempts in simulated.attempts.items():
        simulated.attempts[id_] = [replace(attempt, generation=1) for attempt in attempts]
    for id_ in simulated.running():
        simulated.end(id_, ExitCode.INTERRUPTED)
    simulated.run = edited(simulated.run, retries={"perStage": 1}, suspend=False)
    simulated.to_the_end()
    assert simulated.run.status.ready


def test_a_message_without_the_exit_code_and_the_code_without_a_key_are_crashes() -> None:
    for code, lost in ((1, KEYS["import"]), (ExitCode.INPUT_LOST, None), (ExitCode.INPUT_LOST, "0" * 64)):
        simulated = after("import")
        lose(simulated, "redteaming-topics", "import")
        simulated.change(
            "redteaming-topics", exit_code=int(code), failure=Failure(reason="X", message="gone", lost=lost)
        )
        simulated.reconcile()
        assert "import" not in simulated.running() and reason(simulated, "Reconciling") == "Retrying"
        assert simulated.to_the_end().status.ready


def test_the_code_without_any_message_names_the_kind_of_failure() -> None:
    simulated = simulated_after(retries={"perStage": 0})
    simulated.end("import", ExitCode.INPUT_LOST)
    simulated.reconcile()
    assert reason(simulated, "Stalled") == "InputLost"


@pytest.mark.parametrize("seconds", [-3600, -1, 0, 1])
def test_times_that_contradict_the_order_of_events_cost_one_attempt_for_each_report_at_most(seconds: int) -> None:
    """Another controller manager writes the times of Jobs, and its clock may be behind."""
    loss = Loss(at=NOW, reports=2, failure=Failure(reason="InputLost", message="gone"))
    moment = NOW + timedelta(seconds=seconds)
    made = [
        Attempt(KEYS["import"], number, moment, moment, 0, result=result("import", KEYS["import"]))
        for number in range(1, 5)
    ]
    assert len(losses.unrefuted(made, loss)) == (2 if seconds < 0 else 4)


@pytest.mark.parametrize(("cache", "left"), [("Miss", 1), ("Hit", 0)])
def test_an_attempt_during_the_report_counts_if_it_published_and_not_if_it_had_found_the_artifact(
    cache: str, left: int
) -> None:
    loss = Loss(at=NOW, reports=1, failure=Failure(reason="InputLost", message="gone"))
    before, later = NOW - timedelta(seconds=5), NOW + timedelta(seconds=5)
    attempt = Attempt(KEYS["import"], 1, before, later, 0, result=result("import", KEYS["import"], cache=cache))
    assert len(losses.unrefuted([attempt], loss)) == left


# --- Any sequence of losses, restarts, deletions


@dataclass
class UnreliableStore:
    """Processes on a store that loses artifacts, and on a cluster that loses Jobs, statuses and fractions of seconds.

    Attributes:
        whole: keys of the artifacts that are complete.
        damaged: keys of those whose names and sizes are right and whose bytes are not.
    """

    source: random.Random
    run: Any = field(default_factory=lambda: run(retries={"perStage": 2, "preemptions": 50}))
    now: datetime = NOW
    whole: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)
    attempts: dict[str, list[Attempt]] = field(default_factory=dict)
    inputs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)

    def observed(self) -> Observed:
        return Observed({id_: tuple(attempts) for id_, attempts in self.attempts.items()})

    def clock(self) -> datetime:
        return self.now.replace(microsecond=0)

    def reconcile(self) -> None:
        planned = plan(self.run, self.observed(), self.clock())
        for action in planned.actions:
            self.act(action)
        after_acting = plan(self.run, self.observed(), self.clock())
        if self.source.random() < 0.1:
            return  # the operator is killed before it writes the status
        status = RunStatus.model_validate_json(after_acting.status.model_dump_json(by_alias=True, exclude_none=True))
        self.run = self.run.model_copy(update={"status": status})
        again = plan(self.run, self.observed(), self.clock())
        assert again.actions == () and again.status.to_dict() == status.to_dict(), "a second reconcile writes nothing"
        assert not any(isinstance(one, StopAttempt) for one in planned.actions) or planned.finished

    def act(self, action: Any) -> None:
        if isinstance(action, StopAttempt | RemoveAttempt):
            self.attempts[action.id] = [one for one in self.attempts[action.id] if one.number != action.attempt]
            return
        id_ = PREFLIGHT if isinstance(action, StartPreflight) else action.step.id
        assert not any(one.running for one in self.attempts.get(id_, ())), "never two at once"
        if isinstance(action, StartStep):
            self.inputs[id_] = tuple(ref.key for ref in action.inputs.values())
        attempt = Attempt(action.key, action.attempt, self.clock(), job=f"{id_}-{action.attempt}", generation=1)
        self.attempts.setdefault(id_, []).append(attempt)
        self.started.append(id_)

    def end(self, id_: str) -> None:
        """Ends a process as a stage process ends: a hit, a lost input, or published."""
        if id_ == PREFLIGHT:
            found = {step: key for step, key in KEYS.items() if key in self.whole | self.damaged}
            hits = {step: result(step, key, cache="Hit") for step, key in found.items()}
            self.change(id_, exit_code=0, result=PreflightResult(leaves=leaf_digests(self.run), hits=hits))
            return
        key = self.attempts[id_][-1].key
        if key in self.whole | self.damaged:
            self.change(id_, exit_code=0, result=result(id_, key, cache="Hit"))
            return
        lost = next((one for one in self.inputs[id_] if one not in self.whole), None)
        if lost is not None:
            self.damaged.discard(lost)  # set aside
            failure = Failure(reason="InputLost", message=f"{STEP_OF[lost]} is lost", lost=lost)
            self.change(id_, exit_code=int(ExitCode.INPUT_LOST), failure=failure)
            return
        self.whole.add(key)
        self.change(id_, exit_code=0, result=result(id_, key))

    def change(self, id_: str, **changes: Any) -> None:
        self.attempts[id_][-1] = replace(self.attempts[id_][-1], finished=self.clock(), **changes)

    def lose(self) -> None:
        key = self.source.choice(sorted(self.whole))
        self.whole.discard(key)
        if self.source.random() < 0.5:
            self.damaged.add(key)

    def disturb(self) -> None:
        """Deletes the Job of an ended attempt."""
        ended = [(id_, one) for id_, tried in sorted(self.attempts.items()) for one in tried if not one.running]
        if ended:
            id_, one = self.source.choice(ended)
            self.attempts[id_].remove(one)


@settings(max_examples=scaled(15, 2000), deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(0, 12),
    st.sampled_from([0.0, 0.05]),
    st.sampled_from([0.4, 3.0, 40.0]),
)
def test_any_sequence_of_losses_ends_ready_or_failed(
    seed: int, most_losses: int, deletions: float, longest: float
) -> None:
    source, left = random.Random(seed), most_losses
    simulated = UnreliableStore(source)
    simulated.reconcile()
    for _ in range(2000):
        running = sorted(simulated.observed().running())
        if not running and simulated.run.status.completion_time is not None:
            break
        # longest 0.4: whole chains of steps within one second of the API server
        simulated.now += timedelta(seconds=source.uniform(0.01, longest))
        if running:
            simulated.end(source.choice(running))
        else:
            simulated.now += timedelta(seconds=300)
        if left and simulated.whole and source.random() < 0.4:
            left -= 1
            simulated.lose()
        if source.random() < deletions:
            simulated.disturb()
        simulated.reconcile()
    else:
        raise AssertionError("neither ready nor failed")
    status = simulated.run.status
    # a Job that is deleted before its end was read is a failed attempt
    assert status.ready or reason_of(status) in ("InputLost", *(["JobGone"] if deletions else []))
    # every loss repeats one step and each of its readers once, and a tie of times one reader more
    assert deletions or len(simulated.started) <= 1 + len(KEYS) + most_losses * 8
    if not most_losses:
        assert status.ready and (deletions or len(simulated.started) == 1 + len(KEYS))


def reason_of(status: RunStatus) -> str:
    condition = status.condition("Stalled")
    assert condition is not None
    return condition.reason


@pytest.mark.parametrize(("published", "counts"), [(0.2, False), (0.9, True)])
def test_a_record_of_a_success_in_the_second_of_its_loss_counts_only_if_its_job_ended_after_the_report(
    published: float, counts: bool
) -> None:
    finished = NOW + timedelta(seconds=published)
    made = Attempt("k", 1, started=NOW, finished=finished, exit_code=ExitCode.PUBLISHED, result=result("import", "k"))
    recorded = StepStatus(
        name="import", kind="import", state="Succeeded", key="k", attempt=1, cache="Miss", completion_time=NOW
    )
    loss = Loss(at=NOW + timedelta(seconds=0.6), reports=1, failure=Failure(reason="InputLost", message="x", lost="k"))
    assert losses.record_counts(recorded, newest=made, loss=loss) is counts
