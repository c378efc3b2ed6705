"""What the annotation selfalign.dev/retry of a run asks for: fresh attempts, or steps that are made anew. Pure.

The annotation is a list, separated by commas, of NONCE and STEP@NONCE. A nonce is any word that was not used before.

- A new value gives every step that failed, and preflight, its attempts again, as an edit of the spec does. What is good
  is not touched. Jobs carry the value under which they were created, and the status the value that was observed last.
- STEP@NONCE makes a step anew, and every step that reads its artifact: the nonce becomes part of the step's key and of
  its seed. A step that only waits for it (`Step.after`) keeps its artifact, as after an edit.

The nonces are desired state and not commands, so that nothing can be lost between two writes or be done twice. The
status keeps those that were observed, because the next value replaces the annotation; without the status, those of the
annotation count alone. `kubectl apply` and GitOps tools leave an annotation alone that their manifest does not name.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from selfalign_operator.api.run import GROUP, SelfAlignRun
from selfalign_operator.api.status import RetryStatus
from selfalign_operator.planning.observation import Attempt
from selfalign_stages.contract.graph import Step
from selfalign_stages.contract.model import canonical_json, sha256_hex

RETRY = f"{GROUP}/retry"
"""Annotation of runs, written by people and by `selfalign retry`; and of Jobs, with the value at their creation."""
NONCE_PATTERN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,30}[A-Za-z0-9])?")
"""A nonce, of at most 32 characters: the status has one for each step that was made anew."""
LONGEST_VALUE = 1024
"""Most characters of the annotation, which an API server limits to 256 KiB: the status repeats it."""
SEEDS = 2**53
"""Number of seeds, those that every JSON library reads back exactly."""


@dataclass(frozen=True)
class Request:
    """The annotation, read against the steps of its run.

    Attributes:
        value: the entries that can be followed, joined by commas; empty without any.
        observed: the annotation as the status records it.
        is_new: the status does not record these entries yet. Removing some asks for nothing new.
        refused: why an entry cannot be followed, with the remedy; None if all can.
    """

    value: str
    observed: str
    is_new: bool = False
    refused: str | None = None


def read(run: SelfAlignRun, ids: Sequence[str]) -> Request:
    """Reads the annotation of a run.

    Args:
        run: the run.
        ids: ids of its steps, which the annotation may name.

    Returns:
        The request. An entry with a mistake is refused and the others count: a mistyped name must stop no running step.
    """
    value = run.metadata.annotations.get(RETRY, "").strip()
    if len(value) > LONGEST_VALUE:
        refused = (
            f"{RETRY} has {len(value)} characters, at most {LONGEST_VALUE} are read: leave out nonces of old steps"
        )
        return Request("", f"sha256:{sha256_hex(value.encode())}", refused=refused)
    before = _followed(run.status.retry.observed, ids) if run.status.retry is not None else []
    followed = _followed(value, ids)
    mistakes = [mistake for entry in _entries(value) if (mistake := _mistake(entry, ids)) is not None]
    is_new = any(entry not in before for entry in followed)
    return Request(",".join(followed), value, is_new=is_new, refused="; ".join(mistakes) or None)


def nonces(run: SelfAlignRun) -> dict[str, str]:
    """Returns the nonce by step id: the recorded ones, replaced by those of the annotation."""
    recorded = run.status.retry.nonces if run.status.retry is not None else {}
    return {**recorded, **parse(run.metadata.annotations.get(RETRY, ""))}


def parse(annotation: str) -> dict[str, str]:
    """Returns the nonce by step id of those entries that name a step."""
    if len(annotation.strip()) > LONGEST_VALUE:
        return {}
    named = (entry.partition("@") for entry in _entries(annotation) if "@" in entry)
    return {id_: nonce for id_, _, nonce in named if id_ and NONCE_PATTERN.fullmatch(nonce)}


def text(by_id: Mapping[str, str]) -> str:
    """Returns the annotation for nonces by step id."""
    return ",".join(f"{id_}@{nonce}" for id_, nonce in by_id.items())


def with_nonces(steps: Iterable[Step], by_id: Mapping[str, str]) -> tuple[Step, ...]:
    """Returns the steps with their nonces; those without one are unchanged."""
    return tuple(step.model_copy(update={"nonce": by_id[step.id]}) if step.id in by_id else step for step in steps)


def with_readers(steps: Sequence[Step], id_: str) -> set[str]:
    """Returns the ids of a step and of all that are made from its artifact: what is made anew with it.

    Args:
        steps: in topological order.
        id_: id of the step.
    """
    found = {id_}
    for step in steps:
        if found.intersection(step.inputs.values()):
            found.add(step.id)
    return found


def goals(steps: Sequence[Step]) -> tuple[str, ...]:
    """Returns the ids of steps that must be made anew although no step reads them.

    What is read is needed by what is made from it. The check before training is read by nothing, and is skipped where
    the training has succeeded.
    """
    anew = {id_ for step in steps if step.nonce is not None for id_ in with_readers(steps, step.id)}
    return tuple(
        step.id for step in steps if step.id in anew and not any(step.id in one.inputs.values() for one in steps)
    )


def seed(step: Step, of_run: int) -> int:
    """Returns the seed of a step's random draws: with the run's own, a sample that is made anew would be the same."""
    if step.nonce is None:
        return of_run
    return int(sha256_hex(canonical_json([of_run, step.nonce])), 16) % SEEDS


def counts(request: Request, attempt: Attempt) -> bool:
    """Whether an attempt that failed counts for a request. Without one, as on one machine, every attempt does."""
    return not request.value or attempt.retry in (None, request.value)


def status(run: SelfAlignRun, request: Request, ids: Sequence[str]) -> RetryStatus | None:
    """Returns what the status records of a request; None for a run that was never retried."""
    kept = {id_: nonce for id_, nonce in nonces(run).items() if id_ in ids or _is_recorded(run, id_, nonce)}
    if not request.observed and not kept:
        return None
    return RetryStatus(observed=request.observed, nonces=kept, refused=request.refused)


def _is_recorded(run: SelfAlignRun, id_: str, nonce: str) -> bool:
    """Whether the status has the nonce already; kept while an edit has left the step out of the run."""
    return run.status.retry is not None and run.status.retry.nonces.get(id_) == nonce


def _entries(text: str) -> list[str]:
    return [entry for part in text.split(",") if (entry := part.strip())]


def _followed(text: str, ids: Sequence[str]) -> list[str]:
    return [entry for entry in _entries(text) if _mistake(entry, ids) is None]


def _mistake(entry: str, ids: Sequence[str]) -> str | None:
    id_, at, nonce = entry.rpartition("@")
    if entry in ids:
        return f"{RETRY}: {entry} has no nonce: write {entry}@ and a word that was not used before"
    if at and id_ not in ids:
        return f"{RETRY}: the run has no step {id_!r}, its steps are {', '.join(ids)}"
    if not NONCE_PATTERN.fullmatch(nonce):
        return f"{RETRY}: {nonce!r} is no nonce: use 1 to 32 letters, digits and inner dots, hyphens or underscores"
    return None
