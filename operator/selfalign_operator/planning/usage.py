"""Counts what must survive its pods: device seconds, and preemptions of each step. Pure.

An evicted, drained or deleted pod disappears from the API, and its Job with it when a step is stopped, so neither can
be counted from what exists. The status keeps sums, and each reconciliation adds what happened since the status was
written. A reconciliation whose status write failed is repeated from the old sums and adds the same.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from selfalign_operator.api.status import Preemptions, Usage
from selfalign_operator.planning.observation import Attempt, Observed, Pod
from selfalign_stages.contract.exits import INTERRUPTED_CODES


def device_seconds(observed: Observed, *, since: datetime | None, until: datetime) -> dict[str, float]:
    """Adds up seconds times devices of all pods within an interval.

    Args:
        observed: attempts with their pods, those at steps included that the run no longer has.
        since: start of the interval; None counts from each pod's start.
        until: end of the interval, also for pods that still run.

    Returns:
        Device seconds by process id.
    """
    return {
        id_: sum(_device_seconds(pod, since=since, until=until) for attempt in attempts for pod in attempt.pods)
        for id_, attempts in observed.attempts.items()
    }


def accumulate(recorded: Usage | None, seconds: Mapping[str, float], *, until: datetime) -> Usage | None:
    """Adds an interval to the run's recorded usage.

    Args:
        recorded: usage in the status before; None if nothing was ever counted.
        seconds: device seconds by process id since `recorded.counted_until`.
        until: end of the interval.

    Returns:
        The new total, or `recorded` itself if nothing was added: moving `counted_until` alone would write a status of
        an idle run at every reconciliation.
    """
    total = sum(seconds.values())
    if not total:
        return recorded
    return Usage(gpu_seconds=(recorded.gpu_seconds if recorded else 0) + total, counted_until=until)


def preemptions(recorded: Preemptions | None, attempts: Sequence[Attempt]) -> Preemptions | None:
    """Counts the preemptions of one step.

    The Job controller replaces preempted pods within the same Job (podFailurePolicy: Ignore), and some disappear
    between two reconciliations. Their replacements reveal them: every pod of a Job beyond its workers and the crashed
    ones replaces a preempted pod.

    Args:
        recorded: the count in the status for the step's current key and generation; None if there is none.
        attempts: attempts at the step for that key, oldest first.

    Returns:
        The new count. It never decreases, although the pods it was counted from are deleted.
    """
    if not attempts:
        return recorded
    last = attempts[-1]
    if recorded is None or recorded.attempt != last.number:
        visible_earlier = sum(map(_visible_preemptions, attempts[:-1]))
        earlier = max(recorded.total if recorded else 0, visible_earlier)
        recorded = Preemptions(attempt=last.number, earlier=earlier)
    newest = recorded.newest_pod
    new_pods = [pod for pod in last.pods if newest is None or pod.created > newest]
    pods = recorded.pods + len(new_pods)
    crashed = sum(pod.outcome == "crashed" for pod in last.pods)
    replaced = pods - last.workers - crashed
    return Preemptions(
        attempt=last.number,
        earlier=recorded.earlier,
        pods=pods,
        newest_pod=max((pod.created for pod in new_pods), default=newest),
        total=max(recorded.total, recorded.earlier + max(_visible_preemptions(last), replaced)),
    )


def _visible_preemptions(attempt: Attempt) -> int:
    """Preemptions whose pods still exist. A local process has none: its exit code tells of one."""
    preempted_pods = sum(pod.outcome == "preempted" for pod in attempt.pods)
    return max(preempted_pods, int(attempt.exit_code in INTERRUPTED_CODES))


def _device_seconds(pod: Pod, *, since: datetime | None, until: datetime) -> float:
    if pod.started is None:
        return 0
    begin = pod.started if since is None else max(pod.started, since)
    return pod.devices * max(((pod.finished or until) - begin).total_seconds(), 0)
