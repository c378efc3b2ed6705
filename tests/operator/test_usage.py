"""Device seconds and preemptions are counted once, even if the pods that they are counted from are deleted."""

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operator.builders import NOW, SimulatedRun, simulated_after

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.planning.observation import PREFLIGHT, Pod, PodOutcome


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def pod(start: int, end: int | None = None, *, devices: int = 1, outcome: PodOutcome = "active") -> Pod:
    finished = None if end is None else at(end)
    return Pod(created=at(start), started=at(start), finished=finished, devices=devices, outcome=outcome)


def reconcile_with(simulated: SimulatedRun, second: float, *pods: Pod) -> SimulatedRun:
    """Reconciles at a moment at which the import's Job has these pods."""
    simulated.now = at(second)
    simulated.change("import", pods=pods)
    simulated.reconcile()
    return simulated


def device_seconds(simulated: SimulatedRun) -> float:
    usage = simulated.run.status.usage
    return usage.gpu_seconds if usage else 0


def preemptions(simulated: SimulatedRun) -> int:
    count = simulated.run.status.steps["import"].preempted
    return count.total if count else 0


def next_generation(one: SelfAlignRun) -> SelfAlignRun:
    metadata = one.metadata.model_copy(update={"generation": one.metadata.generation + 1})
    return one.model_copy(update={"metadata": metadata})


def test_usage_of_deleted_pods_stays() -> None:
    simulated = simulated_after()
    reconcile_with(simulated, 100, pod(0, devices=4))
    reconcile_with(simulated, 200, pod(150, devices=4))  # the first one was evicted after second 100
    assert device_seconds(simulated) == 400 + 200
    assert simulated.run.status.steps["import"].gpu_seconds == 600


def test_usage_of_a_deleted_job_stays_and_the_next_one_adds_to_it() -> None:
    simulated = simulated_after()
    reconcile_with(simulated, 100, pod(0))
    simulated.attempts["import"] = []
    simulated.now = at(300)
    simulated.reconcile()
    reconcile_with(simulated, 400, pod(350))
    assert device_seconds(simulated) == 150 and simulated.started.count("import") == 2


def test_an_observation_whose_status_was_not_written_is_not_counted_twice() -> None:
    simulated = reconcile_with(simulated_after(), 100, pod(0))
    before = simulated.run
    simulated.now = at(160.7)
    simulated.reconcile()
    simulated.run = before
    reconcile_with(simulated, 200.9, pod(0))
    assert device_seconds(simulated) == 200


def test_nothing_is_written_for_pods_without_devices_or_after_all_have_ended() -> None:
    simulated = reconcile_with(simulated_after(), 100, pod(0, 80))
    status = simulated.run.status
    reconcile_with(simulated, 500, pod(0, 80))
    assert simulated.run.status.usage == status.usage and device_seconds(simulated) == 80
    assert device_seconds(reconcile_with(simulated_after(), 100, pod(0, devices=0))) == 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 900), st.integers(1, 300), st.integers(1, 8)), max_size=6), st.data())
def test_usage_does_not_depend_on_when_it_is_observed(pods: list[tuple[int, int, int]], data: st.DataObject) -> None:
    moments = sorted(data.draw(st.lists(st.integers(0, 1200), max_size=8)))
    simulated = simulated_after()
    for moment in [*moments, 1300]:
        created = [
            pod(start, start + duration if start + duration <= moment else None, devices=devices)
            for start, duration, devices in pods
            if start <= moment
        ]
        reconcile_with(simulated, moment, *created)
    assert device_seconds(simulated) == sum(duration * devices for _, duration, devices in pods)


def test_preemptions_count_although_the_pods_are_deleted() -> None:
    simulated = simulated_after(retries={"preemptions": 2})
    for number in range(3):
        reconcile_with(simulated, 10 * number, pod(10 * number))
        assert preemptions(simulated) == number and not simulated.plan().finished
    reconcile_with(simulated, 40, pod(40))
    assert simulated.plan().finished


def test_crashed_workers_and_the_first_pods_are_no_preemptions() -> None:
    simulated = simulated_after()
    simulated.change("import", workers=2)
    reconcile_with(simulated, 10, pod(0), pod(1))
    reconcile_with(simulated, 20, pod(0), pod(1, 9, outcome="crashed"), pod(11))
    assert preemptions(simulated) == 0
    reconcile_with(simulated, 30, pod(1, 9, outcome="crashed"), pod(11), pod(25))  # the first one was evicted
    assert preemptions(simulated) == 1


def test_visible_preemptions_count_once() -> None:
    simulated = simulated_after()
    reconcile_with(simulated, 30, pod(0, 10, outcome="preempted"), pod(11, 20, outcome="preempted"), pod(21))
    assert preemptions(simulated) == 2
    reconcile_with(simulated, 60, pod(0, 10, outcome="preempted"), pod(11, 20, outcome="preempted"), pod(21))
    assert preemptions(simulated) == 2


def test_preemptions_add_up_over_attempts_and_are_forgiven_by_an_edit() -> None:
    simulated = simulated_after(retries={"preemptions": 1})
    reconcile_with(simulated, 10, pod(0))
    reconcile_with(simulated, 20, pod(15))
    simulated.attempts["import"] = []  # somebody deleted its Job
    simulated.reconcile()
    assert preemptions(reconcile_with(simulated, 30, pod(25))) == 1
    reconcile_with(simulated, 40, pod(35))
    assert simulated.run.status.phase == "Failed"
    simulated.run, simulated.attempts["import"] = next_generation(simulated.run), []
    simulated.reconcile()
    reconcile_with(simulated, 60, pod(55))
    assert preemptions(simulated) == 0 and simulated.run.status.phase == "Import"


def test_a_process_without_pods_counts_by_its_exit_code() -> None:
    simulated = simulated_after(retries={"preemptions": 1})
    simulated.end("import", 75)
    assert not simulated.reconcile().finished and simulated.attempts["import"][-1].running
    simulated.end("import", 75)
    assert simulated.reconcile().finished


def test_a_step_that_the_run_no_longer_has_keeps_its_usage_in_the_sum() -> None:
    simulated = reconcile_with(simulated_after(), 100, pod(0))
    orphan = replace(simulated.attempts["import"][-1], pods=(pod(0),), stopping=True)
    simulated.attempts = {"formerly": [orphan], PREFLIGHT: simulated.attempts[PREFLIGHT]}
    simulated.now = at(130)
    simulated.reconcile()
    assert device_seconds(simulated) == 130
