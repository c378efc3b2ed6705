"""Events: one for each transition between two statuses, none without a transition."""

from typing import Any

from tests.operator.builders import SimulatedRun, run

from selfalign_operator.api.status import RunStatus, StageStatus, StepStatus
from selfalign_operator.cluster.events import event, transitions
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_stages.contract.task import Failure, PreflightResult, Problem


def reconcile(simulated: SimulatedRun) -> list[tuple[str, str]]:
    """Types and reasons of the Events of the next reconcile."""
    before = simulated.run.status
    simulated.reconcile()
    return [(transition.type, transition.reason) for transition in transitions(before, simulated.run.status)]


def after_preflight() -> SimulatedRun:
    simulated = SimulatedRun(run())
    simulated.reconcile()
    simulated.end(PREFLIGHT)
    return simulated


def test_a_whole_run_has_two_events_per_step_and_one_for_its_image() -> None:
    simulated, events = SimulatedRun(run()), list[tuple[str, str]]()
    events += reconcile(simulated)
    while simulated.running():
        simulated.end(simulated.running()[0])
        # the first reconcile starts the next steps, the second observes them
        events += reconcile(simulated) + reconcile(simulated)
    steps = len(simulated.run.status.steps)
    assert events.count(("Normal", "StepStarted")) == events.count(("Normal", "StepSucceeded")) == steps
    assert events.count(("Normal", "PreflightPassed")) == events.count(("Normal", "Ready")) == 1
    assert len(events) == 2 * steps + 2
    assert reconcile(simulated) == []


def test_a_step_whose_artifact_is_in_the_store_has_one_event() -> None:
    step = StepStatus(name="import", kind="import", key="k", state="Succeeded", cache="Hit", digest="sha256:abc")
    status = RunStatus(stages=(StageStatus(name="import", steps=(step,)),))
    (transition,) = transitions(RunStatus(), status)
    assert (transition.type, transition.reason) == ("Normal", "StepCacheHit")
    assert "sha256:abc" in transition.message
    assert list(transitions(status, status)) == []


def test_a_refused_run_has_one_event() -> None:
    simulated = SimulatedRun(run())
    simulated.reconcile()
    simulated.end(PREFLIGHT, answer=PreflightResult(problems=(Problem(field="spec.artifacts", message="no bucket"),)))
    assert reconcile(simulated) == [("Warning", "PreflightFailed")]
    assert reconcile(simulated) == []


def test_a_pending_reason_has_one_event() -> None:
    simulated = after_preflight()
    reconcile(simulated)
    reconcile(simulated)
    simulated.change("import", pending=Failure(reason="Unschedulable", message="no node has room"))
    assert reconcile(simulated) == [("Warning", "Unschedulable")]
    assert reconcile(simulated) == []


def test_a_crash_a_retry_and_a_final_failure_each_have_events() -> None:
    simulated = after_preflight()
    reconcile(simulated)
    simulated.end("import", 1)
    assert reconcile(simulated) == [("Warning", "StepRetrying")]
    simulated.advance(60)
    assert reconcile(simulated) == []  # starts the next attempt, which the following reconcile observes
    assert reconcile(simulated) == [("Normal", "StepStarted")]
    simulated.end("import", 43)
    assert reconcile(simulated) == [("Warning", "StepFailed"), ("Warning", "AccessDenied")]


def test_suspending_has_an_event() -> None:
    simulated = after_preflight()
    reconcile(simulated)
    spec = simulated.run.spec.model_copy(update={"suspend": True})
    simulated.run = simulated.run.model_copy(update={"spec": spec})
    assert ("Normal", "Suspended") in reconcile(simulated)


def test_a_repeated_transition_has_the_same_event_name() -> None:
    simulated = after_preflight()
    before = simulated.run.status
    simulated.reconcile()

    def render() -> list[dict[str, Any]]:
        changes = transitions(before, simulated.run.status)
        return [event(simulated.run, transition, simulated.now) for transition in changes]

    first = render()
    simulated.advance(5)
    second = render()
    assert first and [one["metadata"]["name"] for one in first] == [one["metadata"]["name"] for one in second]
    assert first != second, "the times differ"
