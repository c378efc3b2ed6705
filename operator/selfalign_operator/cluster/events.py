"""Events about a run: one for each transition, told by comparing two statuses. Pure.

Their names follow from what they tell, so that a reconcile that is repeated after a crash tells nothing twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from selfalign_operator.api.run import GROUP, KIND, VERSION, SelfAlignRun
from selfalign_operator.api.status import Condition, ConditionType, RunStatus, StepStatus
from selfalign_stages.contract.graph import StageName
from selfalign_stages.contract.model import canonical_json, sha256_hex

MESSAGE_LETTERS = 1000
WORKS = ("Preflight", *(name[0].upper() + name[1:] for name in get_args(StageName)))
"""Reasons of Reconciling that keep nobody waiting."""
RETRYING, SUSPENDED = "Retrying", "Suspended"


@dataclass(frozen=True)
class Transition:
    """Something that became true. `about` makes it different from an earlier one of the same reason."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    about: str


def transitions(before: RunStatus, after: RunStatus) -> Iterator[Transition]:
    """What the second status says and the first did not."""
    for name, step in after.steps.items():
        yield from _of_step(name, before.steps.get(name), step)
    yield from _of_conditions(before, after)


def _of_step(name: str, old: StepStatus | None, new: StepStatus) -> Iterator[Transition]:
    if old is not None and (old.state, old.attempt, old.key) == (new.state, new.attempt, new.key):
        return
    about = f"{name} {new.key} {new.attempt}"
    if new.state == "Running":
        yield Transition("Normal", "StepStarted", f"{name}: attempt {new.attempt}, Job {new.job_name}", about)
    elif new.state == "Succeeded" and new.cache == "Hit":
        yield Transition("Normal", "StepFound", f"{name}: its artifact was in the store", about)
    elif new.state == "Succeeded":
        rows = f", {new.kept} of {new.rows} rows kept" if new.rows is not None else ""
        yield Transition("Normal", "StepSucceeded", f"{name}: published {new.digest}{rows}", about)
    elif new.state == "Waiting":
        yield Transition("Warning", "StepRetrying", f"{name}: attempt {new.attempt} ended badly, tries again", about)
    elif new.state == "Failed":
        yield Transition("Warning", "StepFailed", f"{name}: {new.message}", about)


def _of_conditions(before: RunStatus, after: RunStatus) -> Iterator[Transition]:
    generation = f"{after.observed_generation}"

    def news(type_: ConditionType, truth: str) -> Condition | None:
        old, new = before.condition(type_), after.condition(type_)
        if new is None or new.status != truth or (old is not None and (old.status, old.reason) == (truth, new.reason)):
            return None
        return new

    if accepted := news("Accepted", "True"):
        yield Transition("Normal", accepted.reason, "preflight found nothing wrong", generation)
    if stalled := news("Stalled", "True"):
        yield Transition("Warning", stalled.reason, stalled.message, f"Stalled {generation}")
    if (waits := news("Reconciling", "True")) and waits.reason not in (*WORKS, RETRYING):
        yield Transition("Warning", waits.reason, waits.message, f"{waits.message} {generation}")
    if (ready := news("Ready", "False")) and ready.reason == SUSPENDED:
        yield Transition("Normal", SUSPENDED, ready.message, f"{SUSPENDED} {generation}")
    if after.ready and not (before.ready and before.image == after.image) and after.image is not None:
        yield Transition(
            "Normal", "Ready", f"image {after.image.reference}", f"ready {generation} {after.image.digest}"
        )


def event(run: SelfAlignRun, told: Transition, now: datetime) -> dict[str, Any]:
    """The core/v1 Event of a transition."""
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    identity = canonical_json([run.metadata.uid, told.reason, told.about])
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{run.metadata.name}.{sha256_hex(identity)[:16]}",
            "namespace": run.metadata.namespace,
        },
        "involvedObject": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "name": run.metadata.name,
            "namespace": run.metadata.namespace,
            "uid": run.metadata.uid,
        },
        "type": told.type,
        "reason": told.reason,
        "message": told.message[:MESSAGE_LETTERS],
        "source": {"component": "selfalign-operator"},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
