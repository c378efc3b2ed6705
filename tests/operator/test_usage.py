"""GPU time and preemptions are counted once, whatever becomes of the pods that they are counted from."""

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.operator.builders import NOW, World, run

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.planning.observation import PREFLIGHT, Pod


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def pod(begin: int, end: int | None = None, *, devices: int = 1, fate: str = "alive") -> Pod:
    ended = None if end is None else at(end)
    return Pod(at(begin), at(begin), ended, devices, fate)  # type: ignore[arg-type]


def importing(**spec: object) -> World:
    """A run whose first step has just begun."""
    world = World(run(**spec))
    world.act()
    world.end(PREFLIGHT)
    world.act()
    return world


def seen(world: World, second: float, *pods: Pod) -> World:
    world.now = at(second)
    world.change("import", pods=pods)
    world.act()
    return world


def spent(world: World) -> float:
    usage = world.run.status.usage
    return usage.gpu_seconds if usage else 0


def stops(world: World) -> int:
    told = world.run.status.steps["import"].preempted
    return told.total if told else 0


def edit(one: SelfAlignRun) -> SelfAlignRun:
    metadata = one.metadata.model_copy(update={"generation": one.metadata.generation + 1})
    return one.model_copy(update={"metadata": metadata})


def test_time_of_pods_that_are_gone_stays() -> None:
    world = importing()
    seen(world, 100, pod(0, devices=4))
    seen(world, 200, pod(150, devices=4))  # the first one was evicted at some moment since
    assert spent(world) == 400 + 200
    assert world.run.status.steps["import"].gpu_seconds == 600


def test_time_of_a_job_that_was_stopped_stays_and_the_next_one_adds_to_it() -> None:
    world = importing()
    seen(world, 100, pod(0))
    world.attempts["import"] = []
    world.now = at(300)
    world.act()
    seen(world, 400, pod(350))
    assert spent(world) == 150 and world.started.count("import") == 2


def test_a_look_whose_status_was_not_written_is_not_counted_twice() -> None:
    world = seen(importing(), 100, pod(0))
    before = world.run
    world.now = at(160.7)
    world.act()
    world.run = before
    seen(world, 200.9, pod(0))
    assert spent(world) == 200


def test_nothing_is_written_for_pods_without_devices_or_after_all_have_ended() -> None:
    world = seen(importing(), 100, pod(0, 80))
    told = world.run.status
    seen(world, 500, pod(0, 80))
    assert world.run.status.usage == told.usage and spent(world) == 80
    assert spent(seen(importing(), 100, pod(0, devices=0))) == 0


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(1, 300), st.integers(1, 8)), max_size=6), st.data())
def test_time_does_not_depend_on_when_it_is_looked_at(pods: list[tuple[int, int, int]], data: st.DataObject) -> None:
    moments = sorted(data.draw(st.lists(st.integers(0, 1200), max_size=8)))
    world = importing()
    for moment in [*moments, 1300]:
        alive = [
            pod(begin, begin + long if begin + long <= moment else None, devices=devices)
            for begin, long, devices in pods
            if begin <= moment
        ]
        seen(world, moment, *alive)
    assert spent(world) == sum(long * devices for _, long, devices in pods)


def test_stops_count_although_the_pods_are_gone() -> None:
    world = importing(retries={"preemptions": 2})
    for number in range(3):
        seen(world, 10 * number, pod(10 * number))
        assert stops(world) == number and not world.plan().finished
    seen(world, 40, pod(40))
    assert world.plan().finished


def test_crashed_workers_and_the_first_wave_are_no_preemptions() -> None:
    world = importing()
    world.change("import", workers=2)
    seen(world, 10, pod(0), pod(1))
    seen(world, 20, pod(0), pod(1, 9, fate="crashed"), pod(11))
    assert stops(world) == 0
    seen(world, 30, pod(1, 9, fate="crashed"), pod(11), pod(25))  # the first one was evicted
    assert stops(world) == 1


def test_stops_that_can_be_seen_count_once() -> None:
    world = importing()
    seen(world, 30, pod(0, 10, fate="preempted"), pod(11, 20, fate="preempted"), pod(21))
    assert stops(world) == 2
    seen(world, 60, pod(0, 10, fate="preempted"), pod(11, 20, fate="preempted"), pod(21))
    assert stops(world) == 2


def test_stops_add_up_over_attempts_and_are_forgiven_by_an_edit() -> None:
    world = importing(retries={"preemptions": 1})
    seen(world, 10, pod(0))
    seen(world, 20, pod(15))
    world.attempts["import"] = []  # somebody deleted its Job
    world.act()
    assert stops(seen(world, 30, pod(25))) == 1
    seen(world, 40, pod(35))
    assert world.run.status.phase == "Failed"
    world.run, world.attempts["import"] = edit(world.run), []
    world.act()
    seen(world, 60, pod(55))
    assert stops(world) == 0 and world.run.status.phase == "Import"


def test_a_process_without_pods_counts_by_its_exit_code() -> None:
    world = importing(retries={"preemptions": 1})
    world.end("import", 75)
    assert not world.act().finished and world.attempts["import"][-1].running
    world.end("import", 75)
    assert world.act().finished


def test_a_step_that_is_no_longer_wanted_keeps_its_time_in_the_sum() -> None:
    world = seen(importing(), 100, pod(0))
    gone = replace(world.attempts["import"][-1], pods=(pod(0),), stopping=True)
    world.attempts = {"formerly": [gone], PREFLIGHT: world.attempts[PREFLIGHT]}
    world.now = at(130)
    world.act()
    assert spent(world) == 130
