"""Plans the replacement of Jobs that only wait: the old one is stopped, and started anew under its number. Pure.

Two reconciliations carry it out, the second one once the old Job is gone. Nothing but the form in the status tells the
second one that it follows a stop of ours; without it, after a crash in between, the Job is merely the next attempt.
"""

from collections.abc import Callable, Container, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.planning import waiting
from selfalign_operator.planning.observation import Attempt, Observed
from selfalign_operator.planning.run_state import RunState
from selfalign_operator.planning.waiting import Rendering

if TYPE_CHECKING:
    from selfalign_operator.planning.plan import StartPreflight, StartStep

Start = TypeVar("Start", "StartPreflight", "StartStep")
REPLACED = ("Evicted", "InitContainerFailed", "UnexpectedAdmissionError", "TopologyAffinityError")
"""Reasons of pods that a Job replaces, and whose remedy is an edit of the run."""
RESTARTED = "CrashLoopBackOff"
"""Waiting reason of a container that the kubelet starts again and again."""


def outdated(
    run: SelfAlignRun,
    state: RunState,
    observed: Observed,
    rendering: Rendering,
    *,
    starts: "Callable[[str], StartPreflight | StartStep | None]",
    spared: Container[str],
) -> Iterator[tuple[str, int]]:
    """Yields process id and number of the attempts whose Jobs wait and would be rendered otherwise now.

    Args:
        run: the run.
        state: its state.
        observed: its attempts.
        rendering: how this operator renders Jobs.
        starts: returns the start of a process as it would be planned now; None if its key is unknown.
        spared: ids of processes that are stopped anyway.
    """
    for id_, attempt in observed.running().items():
        if attempt.stopping or id_ in spared:
            continue
        if not waiting.replaceable(run, attempt, state.beginning(id_), rendering):
            continue
        start = starts(id_)
        if start is not None and rendering.form(start) != attempt.form:
            yield id_, attempt.number


def numbered(start: Start, id_: str, state: RunState, observed: Observed, rendering: Rendering) -> Start:
    """Returns a planned start; one that replaces an attempt which never ran gets that attempt's number.

    Args:
        start: the start with the next unused number.
        id_: the process.
        state: the state of the run.
        observed: its attempts, whose numbers are never used again.
        rendering: how this operator renders Jobs.
    """
    known = state.beginning(id_)
    if known.form is None or known.form == rendering.form(start):
        return start
    used = max((attempt.number for attempt in observed.attempts_of(id_)), default=0)
    return replace(start, attempt=max(start.attempt - 1, used + 1), replacement=True)


def would_repeat(attempt: Attempt) -> bool:
    """Returns whether a running attempt goes on repeating a failure with the template that it has.

    A Job replaces pods that were evicted, and an Indexed Job those of workers that failed; the kubelet starts a
    crashing native sidecar again. None of this ends the attempt, so an edit that mends the cause would never reach a
    pod.

    Args:
        attempt: the attempt. One whose replaced pod works again after a single disruption is left alone: an edit of
            something else must not cost it its progress.
    """
    if attempt.pending is not None and attempt.pending.reason == RESTARTED:
        return True
    replaced = attempt.disruption is not None and attempt.disruption.reason in REPLACED
    return replaced and (attempt.disruptions > 1 or attempt.working_since is None)
