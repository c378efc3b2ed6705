"""Decides which Jobs an edit replaces: those of which no pod ever ran. Pure.

An attempt may wait for days, for a node, a queue, an image or a Secret. An edit of what it waits for has to reach it,
although placement is in no key. An attempt that ran is never touched for that: its work would be lost.

Pods disappear, so the status records that an attempt ran. Until then it records the attempt's form, the digest of its
Job: an attempt that was replaced is then distinguished from one whose Job somebody deleted, and keeps its number,
because it was no attempt.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import PreflightStatus, StepStatus
from selfalign_operator.planning.observation import Attempt

if TYPE_CHECKING:
    from selfalign_operator.planning.plan import StartPreflight, StartStep


@dataclass(frozen=True)
class Rendering:
    """How this operator would render a Job now.

    Attributes:
        form: returns the form of the Job of a planned start, whatever its attempt number.
        operator: identifies this installation of the operator, over restarts and upgrades.
    """

    form: "Callable[[StartPreflight | StartStep], str]"
    operator: str


@dataclass(frozen=True)
class Beginning:
    """What is known of the beginning of the newest attempt at a process.

    Attributes:
        ran: whether its work has begun.
        form: form of its Job, which need not exist any more; None once it ran or ended, and without a Job.
    """

    ran: bool = False
    form: str | None = None


def beginning(newest: Attempt | None, recorded: StepStatus | PreflightStatus | None) -> Beginning:
    """Joins what is observed of a process's newest attempt with what the status records.

    Args:
        newest: the newest observed attempt, for whatever key; None if there is none.
        recorded: the process in the status before.
    """
    if newest is None or (recorded is not None and recorded.attempt > newest.number):
        return Beginning(form=recorded.form if recorded is not None else None)
    if not newest.running:
        return Beginning()
    ran = newest.ran or (recorded is not None and recorded.attempt == newest.number and recorded.ran is True)
    return Beginning(ran=ran, form=None if ran else newest.form)


def replaceable(run: SelfAlignRun, attempt: Attempt, known: Beginning, rendering: Rendering) -> bool:
    """Returns whether an attempt may be replaced if its Job would be rendered in another form now.

    Args:
        run: the run.
        attempt: a running attempt for the process's current key.
        known: what is known of its beginning.
        rendering: how this operator renders Jobs.

    Returns:
        False for one that ran, and for one of another operator unless the run was edited since: two operators with
        different images that watch one namespace would otherwise replace each other's Jobs for ever.
    """
    edited = attempt.generation not in (None, run.metadata.generation)
    return not known.ran and known.form is not None and (edited or attempt.operator == rendering.operator)
