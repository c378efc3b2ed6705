"""One Event for each transition, and none for what has been told."""

from typing import Any

from tests.operator.builders import World, run

from selfalign_operator.cluster.events import event, transitions
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_stages.contract.task import Failure, PreflightResult, Problem


def told(world: World) -> list[tuple[str, str]]:
    """Types and reasons of what the next look tells."""
    before = world.run.status
    world.act()
    return [(one.type, one.reason) for one in transitions(before, world.run.status)]


def working() -> World:
    world = World(run())
    world.act()
    world.end(PREFLIGHT)
    return world


def test_a_whole_run_tells_each_step_twice_and_its_image_once() -> None:
    world, events = World(run()), list[tuple[str, str]]()
    events += told(world)
    while world.running():
        world.end(world.running()[0])
        events += told(world) + told(world)  # what is started is told once it is there
    steps = len(world.run.status.steps)
    assert events.count(("Normal", "StepStarted")) == events.count(("Normal", "StepSucceeded")) == steps
    assert events.count(("Normal", "PreflightPassed")) == events.count(("Normal", "Ready")) == 1
    assert len(events) == 2 * steps + 2
    assert told(world) == []


def test_a_refusal_is_one_event() -> None:
    world = World(run())
    world.act()
    world.end(PREFLIGHT, answer=PreflightResult(problems=(Problem(field="spec.artifacts", message="no bucket"),)))
    assert told(world) == [("Warning", "PreflightFailed")]
    assert told(world) == []


def test_what_keeps_a_step_waiting_is_told_once() -> None:
    world = working()
    told(world)
    told(world)
    world.change("import", pending=Failure(reason="Unschedulable", message="no node has room"))
    assert told(world) == [("Warning", "Unschedulable")]
    assert told(world) == []


def test_a_crash_a_retry_and_an_end_are_told() -> None:
    world = working()
    told(world)
    world.end("import", 1)
    assert told(world) == [("Warning", "StepRetrying")]
    world.later(60)
    assert told(world) == []  # the attempt is told once it is there
    assert told(world) == [("Normal", "StepStarted")]
    world.end("import", 43)
    assert told(world) == [("Warning", "StepFailed"), ("Warning", "AccessDenied")]


def test_suspending_is_told() -> None:
    world = working()
    told(world)
    spec = world.run.spec.model_copy(update={"suspend": True})
    world.run = world.run.model_copy(update={"spec": spec})
    assert ("Normal", "Suspended") in told(world)


def test_an_event_that_is_told_again_has_the_same_name() -> None:
    world = working()
    before = world.run.status
    world.act()
    first: list[dict[str, Any]] = [event(world.run, one, world.now) for one in transitions(before, world.run.status)]
    world.later(5)
    again = [event(world.run, one, world.now) for one in transitions(before, world.run.status)]
    assert [one["metadata"]["name"] for one in first] == [one["metadata"]["name"] for one in again]
