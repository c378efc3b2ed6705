"""Counts what must survive its pods: device seconds, and preemptions of each step. Pure.

An evicted, drained or deleted pod disappears from the API, and its Job with it when a step is stopped, so neither can
be counted from what exists. The status keeps sums, and each reconciliation adds what happened since the status was
written. A reconciliation whose status write failed is repeated from the old sums and adds the same.

The end of an interval is never before the end of a pod that is counted (`end_of_interval`), and no pod counts beyond
it: with an operator whose clock is behind, the next interval would otherwise count what this one did.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from selfalign_operator.api.status import Preemptions, Usage
from selfalign_operator.planning.observation import Attempt, Observed, Pod
from selfalign_stages.contract.exits import INTERRUPTED_CODES

UID_CHARACTERS, MOST_UIDS = 8, 8
"""Of uids in the status: their beginnings tell apart the few pods that one Job creates in one second, and the first
pods of a step with many workers need no telling apart: none of them replaces another."""


def end_of_interval(observed: Observed, now: datetime) -> datetime:
    """Returns until when this reconciliation counts: now, or the newest end of a pod if that is later.

    An observed end is evidence that its moment has passed, whatever the operator's clock shows. In whole seconds, as
    the status serialises it: a fraction would be counted in both of two adjacent intervals.

    Args:
        observed: attempts with their pods.
        now: the operator's clock.
    """
    pods = (pod for attempts in observed.attempts.values() for attempt in attempts for pod in attempt.pods)
    ends = [pod.finished for pod in pods if pod.finished is not None and pod.devices]
    return max([now, *ends]).replace(microsecond=0)


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
    new_pods = [pod for pod in last.pods if newest is None or _is_new(pod, newest, recorded.newest_uids)]
    newest = max((pod.created for pod in new_pods), default=newest)
    pods = recorded.pods + len(new_pods)
    crashed = sum(pod.outcome == "crashed" for pod in last.pods)
    replaced = pods - last.workers - crashed
    return Preemptions(
        attempt=last.number,
        earlier=recorded.earlier,
        pods=pods,
        newest_pod=newest,
        newest_uids=_uids(last.pods, newest, recorded),
        total=max(recorded.total, recorded.earlier + max(_visible_preemptions(last), replaced)),
    )


def _is_new(pod: Pod, newest: datetime, counted: Sequence[str]) -> bool:
    """Whether a pod is not counted yet. Creation times have whole seconds, in which a pod may end and be replaced."""
    return pod.created > newest or (pod.created == newest and bool(counted) and pod.uid[:UID_CHARACTERS] not in counted)


def _uids(pods: Sequence[Pod], newest: datetime | None, recorded: Preemptions) -> tuple[str, ...]:
    """Beginnings of the uids of all counted pods of the newest second; none if they are too many for the status."""
    earlier = recorded.newest_uids if recorded.newest_pod == newest else ()
    uids = {pod.uid[:UID_CHARACTERS] for pod in pods if pod.created == newest and pod.uid} | set(earlier)
    return tuple(sorted(uids)) if len(uids) <= MOST_UIDS else ()


def _visible_preemptions(attempt: Attempt) -> int:
    """Preemptions whose pods still exist. A local process has none: its exit code tells of one."""
    preempted_pods = sum(pod.outcome == "preempted" for pod in attempt.pods)
    return max(preempted_pods, int(attempt.exit_code in INTERRUPTED_CODES))


def _device_seconds(pod: Pod, *, since: datetime | None, until: datetime) -> float:
    if pod.started is None:
        return 0
    begin = pod.started if since is None else max(pod.started, since)
    end = until if pod.finished is None else min(pod.finished, until)
    return pod.devices * max((end - begin).total_seconds(), 0)
