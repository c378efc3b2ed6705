"""What has to be counted although its pods go: GPU time, and stops that were not the step's own. Pure.

A pod that is evicted, drained or deleted is gone before long, and its Job with it when a step is stopped. So the status
keeps sums, and each look adds what happened since the status was written: a look that is repeated adds the same.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from selfalign_operator.api.status import Preemptions, Usage
from selfalign_operator.planning.observation import Attempt, Observed, Pod
from selfalign_stages.contract.exits import ExitCode


def device_seconds(observed: Observed, *, since: datetime | None, until: datetime) -> dict[str, float]:
    """Seconds times devices by process id, of all pods, between two moments."""
    return {
        id_: sum(_held(pod, since=since, until=until) for attempt in attempts for pod in attempt.pods)
        for id_, attempts in observed.attempts.items()
    }


def accumulate(told: Usage | None, seconds: Mapping[str, float], *, until: datetime) -> Usage | None:
    """The run's sum so far; the same as before where nothing was added, None while nothing ever was."""
    total = sum(seconds.values())
    if not total:
        return told
    return Usage(gpu_seconds=(told.gpu_seconds if told else 0) + total, counted_until=until)


def preemptions(told: Preemptions | None, attempts: Sequence[Attempt]) -> Preemptions | None:
    """Stops of the attempts for one key; `told` is what the status says of that key and of this generation."""
    if not attempts:
        return told
    last, before = attempts[-1], sum(map(_stops, attempts[:-1]))
    if told is None or told.attempt != last.number:
        told = Preemptions(attempt=last.number, earlier=max(told.total if told else 0, before))
    newest = told.newest_pod
    fresh = [pod for pod in last.pods if newest is None or pod.created > newest]
    pods = told.pods + len(fresh)
    crashed = sum(pod.fate == "crashed" for pod in last.pods)
    return Preemptions(
        attempt=last.number,
        earlier=told.earlier,
        pods=pods,
        newest_pod=max((pod.created for pod in fresh), default=newest),
        total=max(told.total, told.earlier + max(_stops(last), pods - last.workers - crashed)),
    )


def _stops(attempt: Attempt) -> int:
    """Stops that can still be seen; a process outside a cluster has no pods, and its exit code tells."""
    seen = sum(pod.fate == "preempted" for pod in attempt.pods)
    return max(seen, int(attempt.exit_code == ExitCode.INTERRUPTED))


def _held(pod: Pod, *, since: datetime | None, until: datetime) -> float:
    if pod.began is None:
        return 0
    begin = pod.began if since is None else max(pod.began, since)
    return pod.devices * max(((pod.ended or until) - begin).total_seconds(), 0)
