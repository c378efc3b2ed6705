"""Names, labels and annotations by which a run's Jobs are found again: equal input, equal name. Pure."""

from dataclasses import dataclass

from selfalign_operator import __version__
from selfalign_operator.api.run import GROUP, KIND, VERSION, SelfAlignRun
from selfalign_stages.contract.model import canonical_json, sha256_hex

MANAGED_BY = "selfalign-operator"
SELECTOR = f"app.kubernetes.io/managed-by={MANAGED_BY}"
RUN, RUN_UID, STEP, ATTEMPT = (f"{GROUP}/{name}" for name in ("run", "run-uid", "step", "attempt"))
GENERATION = f"{GROUP}/generation"
KEY = f"{GROUP}/key"
"""Annotation: a key has 64 characters, a label's value may have 63."""

NAME_LETTERS, STEP_LETTERS, HASH_LETTERS = 26, 25, 8
"""Together with two dashes 61: a pod's host name adds an index, so Indexed Jobs cut the run's name further."""
INDEX_LETTERS = 5


@dataclass(frozen=True)
class AttemptId:
    """Which attempt at which step of which run a Job is."""

    id: str
    key: str
    attempt: int


def job_name(run: SelfAlignRun, which: AttemptId) -> str:
    """At most 58 characters. The run's uid is in the hash: a run made anew never meets Jobs of the one before."""
    text = canonical_json([run.metadata.uid, which.id, which.key, which.attempt])
    start = run.metadata.name[: NAME_LETTERS - INDEX_LETTERS].rstrip("-.").replace(".", "-")
    return f"{start}-{which.id[:STEP_LETTERS]}-{sha256_hex(text)[:HASH_LETTERS]}"


def labels(run: SelfAlignRun, which: AttemptId, *, stage: str) -> dict[str, str]:
    """Of the Job and of its pods."""
    return {
        "app.kubernetes.io/name": "selfalign",
        "app.kubernetes.io/instance": run.metadata.name,
        "app.kubernetes.io/component": stage,
        "app.kubernetes.io/managed-by": MANAGED_BY,
        "app.kubernetes.io/version": __version__,
        RUN: run.metadata.name,
        RUN_UID: run.metadata.uid or "",
        STEP: which.id,
        ATTEMPT: str(which.attempt),
    }


def owner(run: SelfAlignRun) -> dict[str, object]:
    """The owner reference that deletes a run's children with it, the operator up or down."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "name": run.metadata.name,
        "uid": run.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
