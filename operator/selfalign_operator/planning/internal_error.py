"""Builds the status of a run on which the operator itself fails: a defect, or an odd value that no rule refuses. Pure.

The last defence. Without it such a run has no status at all, and whoever created it has no reason to suspect anything
but a slow operator. The run stays Reconciling, not Stalled: it is tried again with growing pauses, and a newer version
of the operator may continue it without an edit.
"""

import traceback
from datetime import datetime
from pathlib import Path

from selfalign_operator.api.status import RunStatus
from selfalign_operator.planning import conditions, truncation
from selfalign_operator.planning.run_phase import RunPhase

REASON = "InternalError"
"""Condition reason of a run that the operator fails on."""


def status(generation: int, previous: RunStatus, error: Exception, now: datetime) -> RunStatus:
    """Builds the status.

    Args:
        generation: metadata.generation of the run.
        previous: the status before. All that it records stays, observedGeneration included: a generation that was
            never planned must not count as observed.
        error: what was raised.
        now: transition time of the conditions that change.

    Returns:
        The previous status itself if this generation has ended: its result is still true.
    """
    if previous.completion_time is not None and previous.observed_generation == generation:
        return previous
    accepted = previous.condition("Accepted")
    phase = RunPhase("working", REASON, message(error), accepted=accepted.status if accepted is not None else "Unknown")
    return previous.model_copy(update={"conditions": conditions.build(generation, previous, phase, now)})


def message(error: Exception) -> str:
    """Returns type, text and place of an exception, and what to do about it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    # the text may quote a whole value of the spec: the remedy after it must not be cut off
    text = truncation.text(str(error), truncation.HINT_BYTES)
    return (
        f"the operator failed on this run with {type(error).__name__}: {text}{place}. It tries again with growing "
        "pauses of up to a minute; other runs are not affected. This is a defect of the operator: report it in the "
        "issue tracker of SelfAlign with the manifest and the operator's log. Until it is mended, an edit of the field "
        "that the text names may help"
    )
