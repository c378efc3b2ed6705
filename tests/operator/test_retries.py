"""What a plan does about failures: retries, final exit codes, refusals by preflight, failed gates, the deadline."""

from typing import Any

import pytest
from tests.operator.builders import SimulatedRun, run, simulated_after
from tests.operator.test_plan import condition_statuses, step_of

from selfalign_operator.api.status import RunStatus
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.plan import StopAttempt
from selfalign_stages.contract.task import Failure, PreflightResult, Problem


def reason(status: RunStatus, type_: Any = "Ready") -> str:
    condition = status.condition(type_)
    assert condition is not None
    return condition.reason


def test_problems_found_by_preflight_are_reported_and_nothing_starts() -> None:
    simulated = SimulatedRun(run())
    simulated.reconcile()
    problem = Problem(field="spec.baseModel.uri", value="x", message="weights are pickled")
    simulated.end(PREFLIGHT, answer=PreflightResult(problems=(problem,)))
    planned = simulated.reconcile()
    assert planned.finished and planned.actions == ()
    assert condition_statuses(planned.status)["Accepted"] == "False"
    assert condition_statuses(planned.status)["Stalled"] == "True"
    assert planned.status.problems == (problem,)
    assert "weights are pickled" in planned.status.conditions[0].message


@pytest.mark.parametrize("code", [42, 43, 44])
def test_final_exit_codes_stall_the_run_and_stop_running_steps(code: int) -> None:
    simulated = simulated_after("import")
    simulated.end("redteaming-topics", code)
    planned = simulated.reconcile()
    assert planned.finished and condition_statuses(planned.status)["Stalled"] == "True"
    assert condition_statuses(planned.status)["Ready"] == "False"
    stopped = {action.id for action in planned.actions if isinstance(action, StopAttempt)}
    assert stopped == set(simulated.running())
    assert simulated.reconcile().actions == ()


def test_crashes_are_retried_as_often_as_allowed_with_growing_delays() -> None:
    simulated = simulated_after(retries={"perStage": 2})
    delays = []
    for _ in range(2):
        simulated.end("import", 1)
        planned = simulated.reconcile()
        assert simulated.running() == [] and planned.requeue_at is not None
        delays.append((planned.requeue_at - simulated.now).total_seconds())
        simulated.now = planned.requeue_at
        simulated.reconcile()
        assert simulated.running() == ["import"]
    simulated.end("import", 1)
    planned = simulated.reconcile()
    assert delays == [1, 2]
    assert planned.finished and reason(planned.status) == "Crash"
    assert step_of(planned.status, "import").attempt == 3


def test_while_a_step_is_retried_the_cause_of_its_last_end_is_reported() -> None:
    simulated = simulated_after()
    simulated.end("import", 76)
    simulated.change("import", failure=Failure(reason="Unavailable", message="cannot reach s3://runs"))
    waiting = simulated.reconcile()
    assert reason(waiting.status) == "Retrying"
    assert waiting.requeue_at is not None
    simulated.now = waiting.requeue_at
    retried = simulated.reconcile()
    assert simulated.running() == ["import"]
    for status in (waiting.status, retried.status):
        condition = status.condition("Reconciling")
        assert condition is not None and condition.status == "True" and "cannot reach s3://runs" in condition.message
    simulated.end("import")
    assert reason(simulated.reconcile().status) != "Retrying"


def test_unavailable_services_are_given_more_time() -> None:
    simulated = simulated_after()
    simulated.end("import", 76)
    requeue_at = simulated.reconcile().requeue_at
    assert requeue_at is not None and (requeue_at - simulated.now).total_seconds() == 10


def test_stops_by_sigterm_are_retried_at_once_and_not_counted_as_crashes() -> None:
    simulated = simulated_after(retries={"perStage": 0, "preemptions": 5})
    for _ in range(5):
        simulated.end("import", 75)
        simulated.reconcile()
        assert simulated.running() == ["import"]
    simulated.end("import", 75)
    assert reason(simulated.reconcile().status) == "TooManyPreemptions"


def test_earlier_interruptions_do_not_count_once_a_step_crashes() -> None:
    simulated = simulated_after(retries={"perStage": 1, "preemptions": 5})
    for _ in range(3):
        simulated.end("import", 75)
        simulated.reconcile()
    simulated.end("import", 1)
    planned = simulated.reconcile()
    assert step_of(planned.status, "import").state == "Waiting"
    assert planned.requeue_at is not None and (planned.requeue_at - simulated.now).total_seconds() == 1


def test_an_end_without_a_result_is_a_crash() -> None:
    simulated = simulated_after(retries={"perStage": 0})
    simulated.end("import")
    simulated.change("import", result=None)
    assert reason(simulated.reconcile().status) == "NoResult"


def test_a_failed_gate_stalls_the_run_and_packs_nothing() -> None:
    metrics = {"evaluation-gate": {"passed": False, "failedGates": "engraved.hhh.overall >= 0.9"}}
    simulated = SimulatedRun(run(), metrics=metrics)
    planned = simulated.to_the_end()
    assert "packaging-image" not in simulated.started
    assert reason(planned.status, "Stalled") == "GateFailed"
    assert "engraved.hhh.overall >= 0.9" in planned.status.conditions[2].message
    assert planned.status.image is None
    assert planned.status.evaluation is not None and not planned.status.evaluation.passed


def test_a_run_over_its_deadline_is_stopped() -> None:
    simulated = simulated_after("import", budget={"deadline": "1h"})
    simulated.advance(3599)
    assert not simulated.reconcile().finished
    simulated.advance(1)
    planned = simulated.reconcile()
    assert planned.finished and reason(planned.status, "Stalled") == "DeadlineExceeded"
    assert {type(action) for action in planned.actions} == {StopAttempt}
