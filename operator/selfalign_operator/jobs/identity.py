"""Names, labels and annotations of a run's Jobs: equal input, equal name. Pure.

The operator stores no list of the Jobs that it created. It selects them by label, and it derives a Job's name from run,
step, key and attempt: an operator that was interrupted after creating a Job creates it a second time, and the API
server rejects the duplicate with 409 AlreadyExists. Generated names (metadata.generateName) would start the step twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfalign_operator import __version__
from selfalign_operator.api.run import GROUP, KIND, VERSION, SelfAlignRun
from selfalign_operator.planning import equal_keys
from selfalign_stages.contract.model import canonical_json, sha256_hex

MANAGED_BY = "selfalign-operator"
SELECTOR = f"app.kubernetes.io/managed-by={MANAGED_BY}"
RUN, RUN_UID, STEP, ATTEMPT = (f"{GROUP}/{name}" for name in ("run", "run-uid", "step", "attempt"))
"""Label keys."""
GENERATION = f"{GROUP}/generation"
"""Annotation: the run's metadata.generation when the Job was created."""
FORM = f"{GROUP}/form"
"""Annotation: digest of the Job as it was rendered (jobs.form)."""
OPERATOR = f"{GROUP}/operator"
"""Annotation: the operator that created the Job, as NAMESPACE/NAME of its Lease."""
KEY = f"{GROUP}/key"
"""Annotation: the artifact's key. Label of the same name: its beginning, since a label's value has at most 63
characters."""
LABEL_LENGTH = 63
STORE = f"{GROUP}/store"
"""Label: digest of the artifact store's address. Jobs of several runs with equal keys and stores make one artifact."""

RUN_LENGTH, STEP_LENGTH, HASH_LENGTH = 21, 25, 8
"""Most characters of a Job name's three parts, 56 with their hyphens. A pod's host name may have 63 (RFC 1123), and an
Indexed Job appends a hyphen and the worker's index to it."""

LONGEST_NUMBER = 19
"""Digits of an int64, as metadata.generation is one."""


@dataclass(frozen=True)
class AttemptId:
    """Identifies the attempt that a Job runs.

    Attributes:
        id: the step's id, or PREFLIGHT.
        key: the artifact's key; for preflight, the preflight key.
        attempt: number of the attempt, from 1.
    """

    id: str
    key: str
    attempt: int


def job_name(run: SelfAlignRun, attempt_id: AttemptId) -> str:
    """Returns the Job's name, a valid RFC 1123 label of at most 56 characters.

    The hash covers the run's uid: a run that is deleted and created under the same name never adopts the Jobs of its
    predecessor, which the garbage collector may not have deleted yet.
    """
    text = canonical_json([run.metadata.uid, attempt_id.id, attempt_id.key, attempt_id.attempt])
    start = run.metadata.name[:RUN_LENGTH].rstrip("-.").replace(".", "-")
    return f"{start}-{attempt_id.id[:STEP_LENGTH]}-{sha256_hex(text)[:HASH_LENGTH]}"


def labels(run: SelfAlignRun, attempt_id: AttemptId, *, stage: str) -> dict[str, str]:
    """Returns the labels of a Job and of its pods.

    Args:
        run: the run.
        attempt_id: the attempt.
        stage: the step's stage, or PREFLIGHT, as the recommended label `app.kubernetes.io/component`.
    """
    return {
        "app.kubernetes.io/name": "selfalign",
        "app.kubernetes.io/instance": run.metadata.name,
        "app.kubernetes.io/component": stage,
        "app.kubernetes.io/managed-by": MANAGED_BY,
        "app.kubernetes.io/version": __version__,
        RUN: run.metadata.name,
        RUN_UID: run.metadata.uid or "",
        STEP: attempt_id.id,
        ATTEMPT: str(attempt_id.attempt),
        KEY: attempt_id.key[:LABEL_LENGTH],
        STORE: equal_keys.store_digest(run),
    }


def is_attempt(job: Mapping[str, Any]) -> bool:
    """Whether a Job with the run's labels is one of its attempts.

    Anybody who may create or edit a Job can give it these labels, or take one away. Such a Job is none of the run's:
    reading it would fail every reconciliation of the run, or have its result believed.
    """
    metadata = job["metadata"]
    labels = metadata.get("labels") or {}
    owners = metadata.get("ownerReferences") or ()
    owned = any(one.get("controller") and one.get("uid") == labels.get(RUN_UID) for one in owners)
    number = str(labels.get(ATTEMPT, ""))
    return owned and bool(labels.get(STEP)) and number.isascii() and number.isdigit() and int(number) > 0


def generation(job: Mapping[str, Any]) -> int | None:
    """The run's generation when the Job was created; None without the annotation, which a person may edit."""
    text = (job["metadata"].get("annotations") or {}).get(GENERATION, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < LONGEST_NUMBER else None


def owner(run: SelfAlignRun) -> dict[str, object]:
    """Returns the owner reference by which the garbage collector deletes a run's Jobs, with or without the operator."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "name": run.metadata.name,
        "uid": run.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
