"""Removes Jobs that outlive their attempt: their pods hold devices although the step has ended. Pure.

A Job is deleted once the status records what its attempt came to: results of deleted Jobs are read from there. Another
attempt at the step waits until the Job is gone, so that no two pods of one step run side by side.
"""

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.planning.observation import PREFLIGHT, Attempt, Observed

ENDED = ("Succeeded", "Failed", "Waiting", "Skipped")
"""Step states that record the end of the newest attempt."""


def to_remove(run: SelfAlignRun, observed: Observed) -> tuple[tuple[str, int], ...]:
    """Returns process ids and attempt numbers of the Jobs to delete now.

    Args:
        run: the run, with the status as it is on the API server.
        observed: the observation.
    """
    return tuple(
        (id_, attempt.number)
        for id_, attempts in sorted(observed.attempts.items())
        for attempt in attempts
        if attempt.outlived and not attempt.stopping and _recorded(run, id_, attempt)
    )


def blocked_ids(observed: Observed) -> set[str]:
    """Returns the ids of processes whose next attempt has to wait for the end of a Job."""
    return {id_ for id_, attempts in observed.attempts.items() if any(attempt.outlived for attempt in attempts)}


def _recorded(run: SelfAlignRun, id_: str, attempt: Attempt) -> bool:
    """Whether the status has the attempt's end, or no longer has a use for it."""
    if id_ == PREFLIGHT:
        preflight = run.status.preflight
        if preflight is None or preflight.attempt < attempt.number:
            return False
        answered = bool(preflight.leaves or run.status.problems)
        # Its failure is in no field of its own: the message of a condition is all that the status has of it.
        reported = any(one.message.startswith(f"{PREFLIGHT}: ") for one in run.status.conditions)
        return preflight.key != attempt.key or answered or (attempt.exit_code != 0 and reported)
    step = run.status.steps.get(id_)
    if step is None:
        return run.status.observed_generation == run.metadata.generation
    if step.key != attempt.key or step.attempt > attempt.number:
        return True
    return step.attempt == attempt.number and step.state in ENDED
