"""A run as GitOps tools find it, in every phase."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.operator.builders import World, manifest, run

from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_stages.contract.task import Failure, PreflightResult, Problem


def body(world: World | None = None, *, generation: int = 1) -> dict[str, Any]:
    """The object; without a world as the API server makes it before any operator has seen it."""
    made = manifest()
    made["metadata"] |= {"generation": generation}
    status = {"observedGeneration": -1} if world is None else world.run.status.to_dict()
    spec = {} if world is None else {"suspend": world.run.spec.suspend}
    return made | {"spec": made["spec"] | spec, "status": status}


def started(**spec: Any) -> World:
    """Preflight runs."""
    world = World(run(**spec))
    world.act()
    return world


def working(**spec: Any) -> World:
    """The import runs."""
    world = started(**spec)
    world.end(PREFLIGHT)
    world.act()
    return world


def waiting() -> World:
    """The import has no node."""
    world = working()
    world.change("import", pending=Failure(reason="Unschedulable", message="no node has room"))
    world.act()
    return world


def suspended() -> World:
    """Nobody wants it to run now."""
    return started(suspend=True)


def failed() -> World:
    """The import may not read the model."""
    world = working()
    world.end("import", 43)
    world.act()
    return world


def refused() -> World:
    """Preflight found two problems."""
    world = started()
    found = tuple(Problem(field=f"spec.{name}", message="is wrong") for name in ("artifacts", "baseModel"))
    world.end(PREFLIGHT, answer=PreflightResult(problems=found))
    world.act()
    return world


def overdue() -> World:
    """Its deadline has passed."""
    world = working(budget={"deadline": "1h"})
    world.now += timedelta(hours=2)
    world.act()
    return world


def ready() -> World:
    """Its image is there."""
    world = World(run())
    world.to_the_end()
    return world


STATES: dict[str, tuple[Callable[[], dict[str, Any]], str, str, str]] = {
    "unseen": (body, "InProgress", "Progressing", ""),
    "started": (lambda: body(started()), "InProgress", "Progressing", "resolves inputs"),
    "working": (lambda: body(working()), "InProgress", "Progressing", ""),
    "waiting": (lambda: body(waiting()), "InProgress", "Progressing", "no node has room"),
    "suspended": (lambda: body(suspended()), "InProgress", "Suspended", "suspend"),
    "failed": (lambda: body(failed()), "Failed", "Degraded", "import"),
    "refused": (lambda: body(refused()), "Failed", "Degraded", "spec.baseModel"),
    "overdue": (lambda: body(overdue()), "Failed", "Degraded", "deadline"),
    "ready": (lambda: body(ready()), "Current", "Healthy", ""),
    "ready, then edited": (lambda: body(ready(), generation=2), "InProgress", "Progressing", ""),
    "failed, then edited": (lambda: body(failed(), generation=2), "InProgress", "Progressing", ""),
}
"""By name: the object, what kstatus says, what Argo CD says, and a word of both messages."""
