"""Flux and Helm 4 judge a run by kstatus, which reads our conditions as we mean them in every phase."""

from datetime import timedelta
from typing import Any

import pytest
from tests.kstatus.reading import read
from tests.operator.builders import World, manifest, run

from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_stages.contract.task import Failure, PreflightResult, Problem

pytestmark = pytest.mark.slow


def judged(world: World, *, generation: int = 1) -> tuple[str, str]:
    return _read(world.run.status.plain(), generation)


def _read(status: dict[str, Any], generation: int) -> tuple[str, str]:
    body = manifest()
    body["metadata"] |= {"generation": generation}
    (found,) = read([body | {"status": status}])
    return found


def started(**spec: Any) -> World:
    world = World(run(**spec))
    world.act()
    return world


def working(**spec: Any) -> World:
    world = started(**spec)
    world.end(PREFLIGHT)
    world.act()
    return world


def test_a_run_that_no_operator_has_seen_is_in_progress() -> None:
    assert _read({"observedGeneration": -1}, 1)[0] == "InProgress"  # the definition's default


def test_a_run_that_works_is_in_progress_and_its_message_is_the_reason_why_it_waits() -> None:
    assert judged(started())[0] == "InProgress"
    world = working()
    assert judged(world)[0] == "InProgress"
    world.change("import", held=Failure(reason="Unschedulable", message="no node has room"))
    world.act()
    status, message = judged(world)
    assert status == "InProgress" and "no node has room" in message


def test_a_run_that_is_suspended_is_in_progress() -> None:
    assert judged(started(suspend=True))[0] == "InProgress"


def test_a_run_that_is_ready_is_current_until_it_is_edited() -> None:
    world = World(run())
    world.to_the_end()
    assert judged(world)[0] == "Current"
    assert judged(world, generation=2)[0] == "InProgress"


def test_a_run_that_cannot_go_on_has_failed_with_its_message() -> None:
    world = working()
    world.end("import", 43)
    world.act()
    status, message = judged(world)
    assert status == "Failed" and "import" in message


def test_a_run_that_was_refused_has_failed_with_all_problems() -> None:
    world = started()
    found = tuple(Problem(field=f"spec.{name}", message="is wrong") for name in ("artifacts", "baseModel"))
    world.end(PREFLIGHT, answer=PreflightResult(problems=found))
    world.act()
    status, message = judged(world)
    assert status == "Failed" and "spec.artifacts" in message


def test_a_run_that_missed_its_deadline_has_failed_and_an_edit_takes_it_up_again() -> None:
    world = working(budget={"deadline": "1h"})
    world.now += timedelta(hours=2)
    world.act()
    assert judged(world)[0] == "Failed"
    assert judged(world, generation=2)[0] == "InProgress"
