"""Tells which Jobs repeat a failure by themselves, with the template that they have. Pure.

A Job replaces pods that were evicted, and an Indexed Job those of workers that failed; the kubelet starts a crashing
native sidecar again. None of this ends the attempt, so an edit that mends the cause would never reach a pod. Such an
attempt is therefore started anew after an edit, although its key is still needed.
"""

from selfalign_operator.planning.observation import Attempt

REPLACED = ("Evicted", "InitContainerFailed", "UnexpectedAdmissionError", "TopologyAffinityError")
"""Reasons of pods that a Job replaces, and whose remedy is an edit of the run."""
RESTARTED = "CrashLoopBackOff"
"""Waiting reason of a container that the kubelet starts again and again."""


def would_repeat(attempt: Attempt) -> bool:
    """Returns whether a running attempt goes on repeating a failure.

    Args:
        attempt: the attempt. One whose replaced pod works again after a single disruption is left alone: an edit of
            something else must not cost it its progress.
    """
    if attempt.pending is not None and attempt.pending.reason == RESTARTED:
        return True
    replaced = attempt.disruption is not None and attempt.disruption.reason in REPLACED
    return replaced and (attempt.disruptions > 1 or attempt.working_since is None)
