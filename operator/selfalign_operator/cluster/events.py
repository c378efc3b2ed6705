"""Events about a run: one for each transition between two statuses. Pure.

An Event's name is a digest of the run's uid and the transition. A reconcile that is interrupted between its Events and
its status write repeats the transition, creates the same names, and gets 409 AlreadyExists instead of duplicates. That
is why the usual recorder, with random names and counters, is not used.

No access to the API server; `reconcile` creates the Events.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from selfalign_operator.api.run import GROUP, KIND, VERSION, SelfAlignRun
from selfalign_operator.api.status import Condition, ConditionType, RunStatus, StepStatus
from selfalign_operator.planning.run_phase import WAITING_FOR_RUN
from selfalign_operator.planning.unplanned import DELETING
from selfalign_stages.contract.graph import StageName
from selfalign_stages.contract.model import canonical_json, sha256_hex

MAX_MESSAGE_CHARACTERS = 1000
"""Longest Event message; events.k8s.io/v1 allows 1 KiB. The condition holds the full text."""
NAME_DIGEST_CHARACTERS = 16
"""64 bits of the digest: enough within one run, and short enough for the longest run name."""
WORKING_REASONS = ("Preflight", *(name[0].upper() + name[1:] for name in get_args(StageName)))
"""Reasons of Reconciling while work proceeds. Steps have Events of their own, so these need none."""
RETRYING, SUSPENDED = "Retrying", "Suspended"


@dataclass(frozen=True)
class Transition:
    """Something that became true between two statuses.

    Attributes:
        type: the Event's type; Warning for what may need attention.
        reason: the Event's reason, in CamelCase.
        message: what happened, for people.
        identity: what tells it from other transitions with the same reason (step, key, attempt, generation). Free of
            times, so that repeating a reconcile yields the same Event.
    """

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    identity: str


def transitions(before: RunStatus, after: RunStatus) -> Iterator[Transition]:
    """Yields what is true in the second status and was not in the first, steps before conditions."""
    for name, step in after.steps.items():
        yield from _of_step(name, before.steps.get(name), step)
    yield from _of_conditions(before, after)


def _of_step(name: str, old: StepStatus | None, new: StepStatus) -> Iterator[Transition]:
    if old is not None and (old.state, old.attempt, old.key) == (new.state, new.attempt, new.key):
        return
    # the key tells apart the first attempts before and after an edit of the spec
    identity = f"{name} {new.key} {new.attempt}"
    if new.state == "Running":
        yield Transition("Normal", "StepStarted", f"{name}: attempt {new.attempt}, Job {new.job_name}", identity)
    elif new.state == "Succeeded" and new.cache == "Hit":
        yield Transition("Normal", "StepCacheHit", f"{name}: reused artifact {new.digest} from the store", identity)
    elif new.state == "Succeeded":
        rows = f", {new.kept} of {new.rows} rows kept" if new.rows is not None else ""
        yield Transition("Normal", "StepSucceeded", f"{name}: published {new.digest}{rows}", identity)
    elif new.state == "Waiting" and new.waits_for_run is None:
        yield Transition("Warning", "StepRetrying", f"{name}: attempt {new.attempt} failed, retrying", identity)
    elif new.state == "Failed":
        yield Transition("Warning", "StepFailed", f"{name}: {new.message}", identity)


def _of_conditions(before: RunStatus, after: RunStatus) -> Iterator[Transition]:
    # a retry is a new start within a generation, whose conditions may become true a second time
    retried = f" {after.retry.observed}" if after.retry is not None else ""
    generation = f"{after.observed_generation}{retried}"

    def changed_to(status: str, type_: ConditionType) -> Condition | None:
        """The condition, if it has this status now and had another status or reason before."""
        old, new = before.condition(type_), after.condition(type_)
        if (
            new is None
            or new.status != status
            or (old is not None and (old.status, old.reason) == (status, new.reason))
        ):
            return None
        return new

    refused = after.retry.refused if after.retry is not None else None
    if refused and refused != (before.retry.refused if before.retry is not None else None):
        yield Transition("Warning", "RetryRefused", refused, generation)
    if accepted := changed_to("True", "Accepted"):
        yield Transition("Normal", accepted.reason, "preflight passed", generation)
    if stalled := changed_to("True", "Stalled"):
        yield Transition("Warning", stalled.reason, stalled.message, f"Stalled {generation}")
    # Retrying has the step's own Event, and waiting for another run is no fault; every other reason is something that
    # keeps the run from proceeding
    waiting = changed_to("True", "Reconciling")
    if waiting and waiting.reason not in (*WORKING_REASONS, RETRYING, WAITING_FOR_RUN):
        yield Transition("Warning", waiting.reason, waiting.message, f"{waiting.message} {generation}")
    ready = changed_to("False", "Ready")
    if ready and ready.reason == SUSPENDED:
        yield Transition("Normal", SUSPENDED, ready.message, f"{SUSPENDED} {generation}")
    if ready and ready.reason == DELETING:
        yield Transition("Warning", DELETING, ready.message, f"{DELETING} {generation}")
    # not by the condition alone: an edited pack can replace the image while Ready stays True
    if after.ready and after.image is not None and not (before.ready and before.image == after.image):
        identity = f"ready {generation} {after.image.digest}"
        yield Transition("Normal", "Ready", f"image {after.image.reference}", identity)


def event(run: SelfAlignRun, transition: Transition, now: datetime) -> dict[str, Any]:
    """Renders the core/v1 Event of a transition.

    core/v1 instead of events.k8s.io/v1, because `kubectl describe` and older clients read it everywhere.

    Args:
        run: the run that the Event is about.
        transition: what happened.
        now: when, in UTC; not part of the Event's name.
    """
    timestamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = sha256_hex(canonical_json([run.metadata.uid, transition.reason, transition.identity]))
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{run.metadata.name}.{digest[:NAME_DIGEST_CHARACTERS]}",
            "namespace": run.metadata.namespace,
        },
        "involvedObject": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "name": run.metadata.name,
            "namespace": run.metadata.namespace,
            "uid": run.metadata.uid,
        },
        "type": transition.type,
        "reason": transition.reason,
        "message": transition.message[:MAX_MESSAGE_CHARACTERS],
        "source": {"component": "selfalign-operator"},
        "firstTimestamp": timestamp,
        "lastTimestamp": timestamp,
        "count": 1,
    }
