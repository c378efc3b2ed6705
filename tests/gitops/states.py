"""A run as GitOps tools read it, in every phase."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.operator.builders import SimulatedRun, manifest, run

from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_stages.contract.task import Failure, PreflightResult, Problem


def body(simulated: SimulatedRun | None = None, *, generation: int = 1) -> dict[str, Any]:
    """The object; without a simulated run as the API server creates it, before an operator has written a status."""
    document = manifest()
    document["metadata"] |= {"generation": generation}
    status = {"observedGeneration": -1} if simulated is None else simulated.run.status.to_dict()
    spec = {} if simulated is None else {"suspend": simulated.run.spec.suspend}
    return document | {"spec": document["spec"] | spec, "status": status}


def started(**spec: Any) -> SimulatedRun:
    """Preflight is running."""
    simulated = SimulatedRun(run(**spec))
    simulated.reconcile()
    return simulated


def working(**spec: Any) -> SimulatedRun:
    """The import is running."""
    simulated = started(**spec)
    simulated.end(PREFLIGHT)
    simulated.reconcile()
    return simulated


def waiting() -> SimulatedRun:
    """The import's pod is unschedulable."""
    simulated = working()
    simulated.change("import", pending=Failure(reason="Unschedulable", message="no node has room"))
    simulated.reconcile()
    return simulated


def suspended() -> SimulatedRun:
    """spec.suspend is true."""
    return started(suspend=True)


def failed() -> SimulatedRun:
    """The import was denied access to the model."""
    simulated = working()
    simulated.end("import", 43)
    simulated.reconcile()
    return simulated


def refused() -> SimulatedRun:
    """Preflight reported two problems."""
    simulated = started()
    problems = tuple(Problem(field=f"spec.{name}", message="is wrong") for name in ("artifacts", "baseModel"))
    simulated.end(PREFLIGHT, answer=PreflightResult(problems=problems))
    simulated.reconcile()
    return simulated


def overdue() -> SimulatedRun:
    """Its deadline has passed."""
    simulated = working(budget={"deadline": "1h"})
    simulated.now += timedelta(hours=2)
    simulated.reconcile()
    return simulated


def ready() -> SimulatedRun:
    """Its image exists."""
    simulated = SimulatedRun(run())
    simulated.to_the_end()
    return simulated


STATES: dict[str, tuple[Callable[[], dict[str, Any]], str, str, str]] = {
    "new": (body, "InProgress", "Progressing", ""),
    "started": (lambda: body(started()), "InProgress", "Progressing", "resolving inputs"),
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
"""By name: the object, its status by kstatus, its health by Argo CD, and a word that both messages contain."""
