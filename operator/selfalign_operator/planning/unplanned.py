"""Builds the status of a run that cannot be planned: its objects cannot be read, or it is being deleted. Pure.

What earlier reconciliations recorded of its steps stays: nothing newer is known, and results of deleted Jobs are read
from there.
"""

from datetime import datetime

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus
from selfalign_operator.planning import conditions, status
from selfalign_operator.planning.run_phase import ConditionStatus, RunPhase
from selfalign_stages.contract.task import Failure

DELETING = "Deleting"
"""Reason and phase of a run that is deleted but kept by a finalizer of another party."""


def blocked(run: SelfAlignRun, failure: Failure, now: datetime) -> RunStatus:
    """Builds the status of a run that the operator cannot reconcile at present.

    Args:
        run: the run, with the previous status.
        failure: why not.
        now: transition time of the conditions that change.
    """
    ended = run.status.completion_time is not None and run.status.observed_generation == run.metadata.generation
    if ended:
        return run.status  # a run that has ended needs nothing
    phase = RunPhase("preparing", failure.reason, failure.message, accepted=_accepted(run))
    # observedGeneration stays: a generation that is not planned yet must not appear as one that has ended.
    return run.status.model_copy(
        update={
            "run_uid": run.metadata.uid,
            "phase": run.status.phase or "Preflight",
            "conditions": conditions.build(run.metadata.generation, run.status, phase, now),
            "history": status.history(run),
        }
    )


def deleting(run: SelfAlignRun, finalizers: tuple[str, ...], now: datetime) -> RunStatus:
    """Builds the status of a run that is deleted but kept by finalizers of other parties.

    Args:
        run: the run, with the previous status.
        finalizers: their names.
        now: transition time of the conditions that change.
    """
    names, name = ", ".join(finalizers), run.metadata.name
    text = (
        f"the run is deleted and its pods are stopped, but finalizer {names} of another party keeps it: let that party "
        f'remove it, or: kubectl patch selfalignrun {name} --type=merge -p \'{{"metadata":{{"finalizers":null}}}}\''
    )
    phase = RunPhase("suspended", DELETING, text, accepted=_accepted(run))
    return run.status.model_copy(
        update={
            "observed_generation": run.metadata.generation,
            "phase": DELETING,
            "stage": None,
            "conditions": conditions.build(run.metadata.generation, run.status, phase, now),
        }
    )


def _accepted(run: SelfAlignRun) -> ConditionStatus:
    """The recorded acceptance; of an edited spec it is unknown."""
    accepted = run.status.condition("Accepted")
    current = accepted is not None and accepted.observed_generation == run.metadata.generation
    return accepted.status if accepted is not None and current else "Unknown"
