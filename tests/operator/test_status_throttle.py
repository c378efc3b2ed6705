"""StatusThrottle: volatile fields are written at intervals, everything else at once."""

from datetime import timedelta

from tests.operator.builders import NOW, SimulatedRun, run

from selfalign_operator.api.status import RetryStatus
from selfalign_operator.cluster.status_throttle import POLL_SECONDS, StatusThrottle
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_stages.contract.task import PreflightResult, Problem, Progress

SOON, AFTER_INTERVAL = NOW + timedelta(seconds=1), NOW + timedelta(seconds=1 + POLL_SECONDS)


def importing() -> SimulatedRun:
    """A run whose import step is running, and whose status shows it."""
    simulated = SimulatedRun(run())
    simulated.reconcile()
    simulated.end(PREFLIGHT)
    simulated.reconcile()
    simulated.reconcile()
    return simulated


def test_progress_waits_for_the_interval_and_the_end_of_a_step_does_not() -> None:
    simulated, throttle = importing(), StatusThrottle()
    assert throttle.reserve(simulated.run, simulated.run.status, NOW)
    simulated.change("import", progress=Progress(done=1, total=9, unit="files"))
    status = simulated.plan().status
    assert not throttle.reserve(simulated.run, status, SOON) and throttle.reserve(simulated.run, status, AFTER_INTERVAL)
    simulated.end("import")
    assert throttle.reserve(simulated.run, simulated.plan().status, AFTER_INTERVAL + timedelta(seconds=1))


def test_a_refusal_whose_message_differs_each_time_waits_for_the_interval() -> None:
    simulated, throttle = SimulatedRun(run()), StatusThrottle()
    simulated.reconcile()

    def refuse(message: str) -> None:
        problem = Problem(field="spec.artifacts", message=message)
        simulated.end(PREFLIGHT, answer=PreflightResult(problems=(problem,)))

    refuse("request 1")
    simulated.reconcile()
    assert throttle.reserve(simulated.run, simulated.run.status, NOW)
    refuse("request 2")
    status = simulated.plan().status
    assert status.problems != simulated.run.status.problems
    assert not throttle.reserve(simulated.run, status, SOON) and throttle.reserve(simulated.run, status, AFTER_INTERVAL)


def test_a_refused_retry_of_a_run_that_has_ended_is_reported_at_once() -> None:
    simulated = SimulatedRun(run())
    simulated.to_the_end()
    throttle, ready = StatusThrottle(), simulated.run.status
    assert throttle.reserve(simulated.run, ready, NOW)
    refused = ready.model_copy(update={"retry": RetryStatus(observed="x@1", refused="no step x")})
    assert throttle.reserve(simulated.run, refused, SOON)


def test_runs_are_throttled_independently_and_a_forgotten_run_is_not_throttled() -> None:
    simulated, throttle = importing(), StatusThrottle()
    status = simulated.run.status
    assert throttle.reserve(simulated.run, status, NOW) and not throttle.reserve(simulated.run, status, SOON)
    other = simulated.run.model_copy(update={"metadata": simulated.run.metadata.model_copy(update={"name": "other"})})
    assert throttle.reserve(other, status, SOON)
    throttle.forget(("default", "trial"))
    assert throttle.reserve(simulated.run, status, SOON)


def test_a_clock_that_was_set_back_postpones_no_write() -> None:
    simulated, throttle = importing(), StatusThrottle()
    assert throttle.reserve(simulated.run, simulated.run.status, NOW + timedelta(minutes=10))
    simulated.change("import", progress=Progress(done=1, total=9, unit="files"))
    assert throttle.reserve(simulated.run, simulated.plan().status, NOW)
