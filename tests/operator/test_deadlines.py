"""Deadlines of a step's start and of its progress: spec.podDefaults.startDeadline and progressDeadline."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.operator.builders import NOW, SimulatedRun, run
from tests.operator.test_job_status import observed_job, pod, read

from selfalign_operator.api.status import StepStatus
from selfalign_operator.planning.observation import PREFLIGHT, Starting
from selfalign_operator.planning.plan import RemoveAttempt
from selfalign_stages.contract.task import Failure, Progress

HOUR = timedelta(hours=1)


def simulated_import(**pod_defaults: str) -> SimulatedRun:
    """A run on a cluster whose import has a Job."""
    one = run(podDefaults=pod_defaults)
    simulated = SimulatedRun(one.model_copy(update={"metadata": one.metadata.model_copy(update={"uid": "u"})}))
    simulated.reconcile()
    simulated.end(PREFLIGHT)
    simulated.reconcile()
    simulated.change("import", job="j", generation=1)
    return simulated


def condition(simulated: SimulatedRun, type_: Any) -> tuple[str, str, str]:
    found = simulated.run.status.condition(type_)
    assert found is not None
    return found.status, found.reason, found.message


def test_a_pod_that_does_not_start_in_time_fails_the_run_with_the_cause_it_reported() -> None:
    simulated = simulated_import(startDeadline="1h")
    unschedulable = Failure(reason="Unschedulable", message="pod p: 0/3 nodes are available")
    simulated.change("import", starting=Starting(NOW, "pod p"), pending=unschedulable)
    simulated.now = NOW + HOUR - timedelta(seconds=1)
    simulated.reconcile()
    assert condition(simulated, "Reconciling")[1] == "Unschedulable"
    simulated.now = NOW + HOUR
    assert simulated.reconcile().finished
    status, reason, message = condition(simulated, "Stalled")
    assert (status, reason) == ("True", "StartDeadlineExceeded")
    assert "spec.podDefaults.startDeadline (1h): pod p: 0/3 nodes" in message and "raise the deadline" in message
    assert RemoveAttempt("import", 1) in simulated.reconcile().actions
    assert condition(simulated, "Stalled")[2] == message, "what was said stays"


def test_an_edit_after_a_missed_start_starts_the_step_again_once_the_old_pod_is_gone() -> None:
    simulated = simulated_import(startDeadline="1h")
    simulated.change("import", starting=Starting(NOW, "pod p"))
    simulated.now = NOW + HOUR
    simulated.reconcile()
    metadata = simulated.run.metadata.model_copy(update={"generation": 2})
    simulated.run = simulated.run.model_copy(update={"metadata": metadata})
    simulated.reconcile()
    assert simulated.started.count("import") == 1, "the old Job is deleted first"
    simulated.reconcile()
    assert simulated.started.count("import") == 2


def test_the_default_start_deadline_is_a_day() -> None:
    simulated = simulated_import()
    simulated.change("import", starting=Starting(NOW, "pod p"))
    simulated.now = NOW + 23 * HOUR
    assert not simulated.reconcile().finished
    simulated.now = NOW + 24 * HOUR
    assert simulated.reconcile().finished


def step(simulated: SimulatedRun) -> StepStatus:
    return simulated.run.status.steps["import"]


def working(simulated: SimulatedRun, done: float | None, *, at: datetime) -> None:
    """The import's pod runs since NOW, and answers with this progress."""
    progress = Progress(done=done, total=10, unit="files") if done is not None else None
    simulated.change("import", working_since=NOW, progress=progress, places=("pod p on node n1",))
    simulated.now = at
    simulated.reconcile()


@pytest.mark.parametrize("answer", [3.0, None], ids=["same", "silent"])
def test_a_step_without_progress_is_ended_and_retried(answer: float | None) -> None:
    simulated = simulated_import(progressDeadline="1h")
    working(simulated, 2, at=NOW)
    working(simulated, 3, at=NOW + timedelta(minutes=50))
    working(simulated, answer, at=NOW + timedelta(minutes=109))
    assert step(simulated).state == "Running"
    working(simulated, answer, at=NOW + timedelta(minutes=110))
    status, reason, message = condition(simulated, "Reconciling")
    assert (status, reason) == ("True", "ProgressDeadlineExceeded") and step(simulated).state == "Waiting"
    assert "spec.podDefaults.progressDeadline (1h) at 3 of 10 files: pod p on node n1" in message
    planned = simulated.plan()
    assert planned.actions == (RemoveAttempt("import", 1),)
    simulated.change("import", stopping=True)
    simulated.now += HOUR
    simulated.reconcile()
    assert step(simulated).state == "Waiting" and simulated.started.count("import") == 1
    assert condition(simulated, "Reconciling")[2] == message
    simulated.change("import", working_since=None, progress=None, places=())
    simulated.reconcile()
    assert step(simulated).state == "Waiting", "its pod is gone, its Job is not"
    simulated.attempts["import"] = []
    simulated.reconcile()
    assert simulated.started.count("import") == 2


def test_a_replaced_pod_has_its_whole_deadline() -> None:
    simulated = simulated_import(progressDeadline="1h")
    working(simulated, 3, at=NOW)
    simulated.change("import", working_since=NOW + 9 * HOUR)
    simulated.now = NOW + 9 * HOUR + timedelta(minutes=59)
    simulated.reconcile()
    assert step(simulated).state == "Running"


def test_by_default_only_steps_whose_progress_was_read_have_a_deadline_of_six_hours() -> None:
    unreadable, readable = simulated_import(), simulated_import()
    working(unreadable, None, at=NOW)
    working(readable, 3, at=NOW)
    for simulated, state in ((unreadable, "Running"), (readable, "Waiting")):
        simulated.now = NOW + 6 * HOUR
        simulated.reconcile()
        assert step(simulated).state == state


def test_a_deadline_that_is_set_holds_for_a_pod_that_never_answered() -> None:
    simulated = simulated_import(progressDeadline="1h")
    working(simulated, None, at=NOW + HOUR)
    assert condition(simulated, "Reconciling")[1] == "ProgressDeadlineExceeded"


def test_a_reconcile_without_progress_changes_nothing() -> None:
    simulated = simulated_import()
    working(simulated, 3, at=NOW)
    before = simulated.run.status
    working(simulated, 3, at=NOW + HOUR)
    assert simulated.run.status == before


def started_at(**changes: Any) -> Any:
    job = observed_job()
    return read(job, pod(phase="Pending", containerStatuses=[], **changes)).starting


def test_a_start_counts_from_the_pods_creation_and_ends_with_the_stages_container() -> None:
    assert started_at().since == NOW
    assert read(observed_job(), pod()).starting is None
    assert read(observed_job(), pod()).working_since is None, "its phase is not Running"
    assert read(observed_job(), pod(phase="Running")).working_since == NOW


def test_a_queued_job_is_not_late_and_an_ended_pod_is_about_to_be_replaced() -> None:
    job = observed_job()
    assert "has no pod" in read(job).starting.detail
    job["spec"]["suspend"] = True
    assert read(job).starting is None
    assert read(observed_job(), pod(code=137, phase="Failed")).starting is None


def test_an_init_container_that_runs_on_and_on_is_named() -> None:
    init = [{"name": "setup", "state": {"running": {"startedAt": "2030-01-01T00:00:05Z"}}}]
    assert "init container setup runs since 2030-01-01T00:00:05Z" in started_at(initContainerStatuses=init).detail
