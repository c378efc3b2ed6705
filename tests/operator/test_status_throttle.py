"""What changes all the time is written now and then, everything else at once."""

from datetime import timedelta

from tests.operator.builders import NOW, World, run

from selfalign_operator.cluster.status_throttle import POLL_SECONDS, StatusThrottle
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_stages.contract.task import PreflightResult, Problem, Progress

SOON, LATER = NOW + timedelta(seconds=1), NOW + timedelta(seconds=1 + POLL_SECONDS)


def importing() -> World:
    world = World(run())
    world.act()
    world.end(PREFLIGHT)
    world.act()
    world.act()
    return world


def test_progress_waits_and_a_step_that_ends_does_not() -> None:
    world, throttle = importing(), StatusThrottle()
    assert throttle.reserve(world.run, world.run.status, NOW)
    world.change("import", progress=Progress(done=1, total=9, unit="files"))
    told = world.plan().status
    assert not throttle.reserve(world.run, told, SOON) and throttle.reserve(world.run, told, LATER)
    world.end("import")
    assert throttle.reserve(world.run, world.plan().status, LATER + timedelta(seconds=1))


def test_a_refusal_in_ever_other_words_is_not_written_again_and_again() -> None:
    world, throttle = World(run()), StatusThrottle()
    world.act()

    def refused(words: str) -> World:
        world.end(PREFLIGHT, answer=PreflightResult(problems=(Problem(field="spec.artifacts", message=words),)))
        return world

    refused("request 1").act()
    assert throttle.reserve(world.run, world.run.status, NOW)
    told = refused("request 2").plan().status
    assert told.problems != world.run.status.problems
    assert not throttle.reserve(world.run, told, SOON) and throttle.reserve(world.run, told, LATER)


def test_runs_do_not_wait_for_each_other_and_a_new_one_of_the_same_name_does_not_wait() -> None:
    world, throttle = importing(), StatusThrottle()
    status = world.run.status
    assert throttle.reserve(world.run, status, NOW) and not throttle.reserve(world.run, status, SOON)
    other = world.run.model_copy(update={"metadata": world.run.metadata.model_copy(update={"name": "other"})})
    assert throttle.reserve(other, status, SOON)
    throttle.forget(("default", "trial"))
    assert throttle.reserve(world.run, status, SOON)
