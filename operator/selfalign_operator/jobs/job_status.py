"""Turns a run's Jobs and pods, as the API server returns them, into the planner's observation. Pure.

The Job decides whether an attempt runs and whether it failed: its controller has applied podFailurePolicy and
successPolicy, which single pods cannot show. The pods supply exit code, failure message and result: a stage process
writes a contract.task Result or Failure as its termination message. A pod may be gone before it is read; the plan then
starts another attempt, which finds the published artifact and only reports it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from selfalign_operator.api.devices import GPU_RESOURCES
from selfalign_operator.jobs import pod_usage
from selfalign_operator.jobs.ever_ran import ever_ran
from selfalign_operator.jobs.identity import ATTEMPT, FORM, KEY, OPERATOR, STEP, generation
from selfalign_operator.jobs.out_of_memory import out_of_memory, with_what_was_asked
from selfalign_operator.jobs.pending_reason import pending_reason
from selfalign_operator.jobs.pod import CONTAINER
from selfalign_operator.jobs.pod_end import disruptions, pod_end, where, worded
from selfalign_operator.jobs.pod_hang import hang, sidecars
from selfalign_operator.jobs.pod_start import newest_start, starting
from selfalign_operator.jobs.termination import read_failure, read_preflight, read_result
from selfalign_operator.planning.observation import PREFLIGHT, Attempt, Pod, PodOutcome
from selfalign_operator.planning.retries import REASONS
from selfalign_operator.planning.retry import RETRY
from selfalign_stages.contract.exits import FINAL_CODES, INTERRUPTED_CODES, ExitCode
from selfalign_stages.contract.task import Failure, PreflightResult, Progress, Result

Object = Mapping[str, Any]
"""A Kubernetes object, or a part of one, as the API server returns it in JSON."""
AnyPod = TypeVar("AnyPod", bound=Object)

DECIDED = (ExitCode.PUBLISHED, *FINAL_CODES, ExitCode.INTERRUPTED, ExitCode.INPUT_LOST)
"""Exit codes that stand, whatever happened to another container or worker."""
FAILED_INDEXES = "FailedIndexes"
"""Reason with which a Job fails whose workers were each retried as often as backoffLimitPerIndex allows."""
LOG_CHARACTERS = 500
"""How much of the end of a pod's log a failure message quotes."""


def attempts(
    jobs: Iterable[Object],
    pods: Sequence[Object],
    *,
    progress: Mapping[str, Progress],
    now: datetime,
    gpu_resources: Sequence[str] = GPU_RESOURCES,
) -> dict[str, tuple[Attempt, ...]]:
    """Turns all Jobs of a run into attempts.

    Args:
        jobs: the run's Jobs.
        pods: the run's pods, those of all Jobs together.
        progress: newest progress by pod name, of the pods that answered.
        now: the current time, for how long pods have been pending.
        gpu_resources: resource names of GPUs (api.devices).

    Returns:
        Attempts by process id, oldest first.
    """
    by_process: dict[str, list[Attempt]] = {}
    for job in jobs:
        metadata = job["metadata"]
        job_attempt = attempt(job, pods_of(job, pods), progress=progress, now=now, gpu_resources=gpu_resources)
        by_process.setdefault(metadata["labels"][STEP], []).append(job_attempt)
    return {id_: tuple(sorted(tried, key=lambda one: one.number)) for id_, tried in by_process.items()}


def pods_of(job: Object, pods: Iterable[AnyPod]) -> list[AnyPod]:
    """Returns the pods that a Job controls.

    By their owner reference and not by a label: anybody who may create a pod can give it the labels of a run, and would
    have it polled, counted and believed.
    """
    return [pod for pod in pods if _controller(pod) == job["metadata"]["uid"]]


def _controller(pod: Object) -> str | None:
    """The uid of the object that controls a pod; an object has one controller at most (meta/v1 OwnerReference)."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((owner["uid"] for owner in owners if owner.get("controller")), None)


def attempt(
    job: Object,
    pods: Sequence[Object],
    *,
    progress: Mapping[str, Progress],
    now: datetime,
    gpu_resources: Sequence[str] = GPU_RESOURCES,
) -> Attempt:
    """Turns one Job and its pods into an attempt.

    Args:
        job: the Job.
        pods: its pods.
        progress: newest progress by pod name.
        now: the current time, for how long pods have been pending.
        gpu_resources: resource names of GPUs (api.devices).
    """
    metadata, status = job["metadata"], job.get("status", {})
    labels, annotations = metadata["labels"], metadata.get("annotations") or {}
    end = _final_condition(status)
    # A Job whose pods are kept by a sidecar has ended for the plan: the stage's container said how.
    outlived = sidecars(pods, now=now) if end is None else None
    if outlived is not None:
        end = {"type": "Failed", "lastTransitionTime": now.isoformat()}
    code, failure = (None, None) if end is None else _exit_code_and_failure(end, pods)
    workers = job["spec"].get("completions") or 1
    # The kernel's word counts more than a message that the process wrote before, unless that decides about retries. A
    # Job of one pod is about to end by itself, and its pod is kept; one of several starts the worker again as it was.
    if code not in DECIDED and (code is not None or workers > 1):
        failure = out_of_memory(job, pods) or failure
    elif code == ExitCode.DOES_NOT_FIT and failure is not None and "memory" in failure.message:
        failure = with_what_was_asked(job, pods, failure)
    pod_names = [pod["metadata"]["name"] for pod in pods]
    return Attempt(
        key=annotations.get(KEY, ""),
        number=int(labels[ATTEMPT]),
        started=_time(status.get("startTime") or metadata["creationTimestamp"]),
        # completionTime is set for complete Jobs alone (batch/v1).
        finished=None if end is None else _finished(status, end, pods if outlived else ()),
        exit_code=code,
        stopping="deletionTimestamp" in metadata,
        result=_result(labels[STEP], pods) if code == ExitCode.PUBLISHED else None,
        failure=failure,
        progress=_combined_progress([progress[name] for name in pod_names if name in progress]),
        job=metadata["name"],
        # A Job without it, which a person may remove, counts for every generation.
        generation=generation(job),
        retry=annotations.get(RETRY, ""),
        workers=workers,
        pods=tuple(_pod(pod, job_ends=_ends(status), gpu_resources=gpu_resources) for pod in pods),
        exhausted=end is not None and end.get("reason") == FAILED_INDEXES,
        pending=pending_reason(job, pods, now=now) if code is None else None,
        ran=ever_ran(job, pods),
        form=annotations.get(FORM),
        operator=annotations.get(OPERATOR, ""),
        outlived=outlived is not None,
        hang=outlived or (hang(job, pods, now=now) if code is None else None),
        disruption=worded(disruptions(pods)) if code is None else None,
        disruptions=len(disruptions(pods)),
        starting=starting(job, pods) if code is None else None,
        working_since=newest_start(pods) if code is None else None,
        places=tuple(where(pod) for pod in pods if pod.get("status", {}).get("phase") == "Running"),
    )


def _finished(status: Object, end: Object, outlived: Sequence[Object]) -> datetime:
    """When the Job ended, or the last stage container of pods that are kept by others."""
    ends = [state["finishedAt"] for pod in outlived if (state := _terminated_state(pod)) and state.get("finishedAt")]
    return _time(max(ends, default=status.get("completionTime") or end["lastTransitionTime"]))


def _time(text: str) -> datetime:
    """Parses a meta/v1 Time, which is RFC 3339."""
    return datetime.fromisoformat(text)


def _final_condition(status: Object) -> Object | None:
    """The condition that ends a Job. FailureTarget and SuccessCriteriaMet precede it, while pods still terminate."""
    conditions = status.get("conditions") or ()
    final = (one for one in conditions if one["type"] in ("Complete", "Failed") and one["status"] == "True")
    return next(final, None)


def _ends(status: Object) -> bool:
    """Whether the Job has ended, or is about to: its controller then deletes the pods that still run."""
    ending = ("Complete", "Failed", "SuccessCriteriaMet", "FailureTarget")
    return any(one["type"] in ending and one["status"] == "True" for one in status.get("conditions") or ())


def _exit_code_and_failure(condition: Object, pods: Sequence[Object]) -> tuple[int, Failure | None]:
    """The exit code that stands for the whole Job, with the failure of that pod.

    Args:
        condition: the Job's final condition.
        pods: its pods, of which a sharded step may have several failed ones.
    """
    if condition["type"] == "Complete":
        return ExitCode.PUBLISHED, None
    states = [(state, pod) for pod in pods if (state := _terminated_state(pod))]
    # A pod fails with any of its containers: what the stage published counts, however a sidecar ended.
    if any(state["exitCode"] == 0 for state, _ in states):
        return ExitCode.PUBLISHED, None
    terminated = [(state, pod) for state, pod in states if state["exitCode"] != 0]
    if not terminated:
        if any(map(_preempted, pods)):
            return ExitCode.INTERRUPTED, None
        if (cause := next(filter(None, map(pod_end, pods)), None)) is not None:
            return 1, cause
        message = condition.get("message") or "the Job failed"
        return 1, Failure(reason=condition.get("reason") or "JobFailed", message=message)
    # What ended the Job decides: a final exit code over a lost input over crashes of other workers, which are retried
    # within the Job, over preemptions. Among equals, the last one.
    final = [(state, pod) for state, pod in terminated if state["exitCode"] in FINAL_CODES]
    lost = [(state, pod) for state, pod in terminated if state["exitCode"] == ExitCode.INPUT_LOST]
    crashed = [(state, pod) for state, pod in terminated if not _preempted(pod)]
    state, pod = max(final or lost or crashed or terminated, key=lambda entry: str(entry[0].get("finishedAt")))
    return state["exitCode"], _failure(pod, state)


def _failure(pod: Object, state: Object) -> Failure:
    """The failure that the process wrote, else one derived from the container's state and the end of its log."""
    message = state.get("message") or ""
    if (failure := read_failure(message)) is not None:
        return failure
    if (cause := pod_end(pod)) is not None:
        return cause
    name, code = pod["metadata"]["name"], state["exitCode"]
    # FallbackToLogsOnError: without a termination message the kubelet puts the end of the log in its place.
    log = message.strip()[-LOG_CHARACTERS:]
    text = f"pod {name} ended with exit code {code}"
    return Failure(reason=REASONS.get(code, "Crash"), message=f"{text}: {log}" if log else f"{text}: read its log")


def _terminated_state(pod: Object) -> Object | None:
    """The terminated state of the stage's container; None while it runs, and of a pod that never started one."""
    for container in pod.get("status", {}).get("containerStatuses") or ():
        if container["name"] == CONTAINER:
            state: Object | None = container.get("state", {}).get("terminated")
            return state
    return None


def _preempted(pod: Object) -> bool:
    """Whether the pod ended for a cause outside the step: preemption, drain, eviction, or SIGTERM.

    The condition DisruptionTarget is set before the pod ends; until it has ended, the pod counts as active.
    """
    state = _terminated_state(pod)
    ended = state is not None or pod.get("status", {}).get("phase") == "Failed"
    return ended and (_disrupted(pod) or (state is not None and state["exitCode"] in INTERRUPTED_CODES))


def _disrupted(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "DisruptionTarget" and one["status"] == "True" for one in conditions)


def _result(id_: str, pods: Sequence[Object]) -> Result | PreflightResult | None:
    """What a pod published; of several workers, the result of the one that made the artifact (a Miss)."""
    succeeded = [state for pod in pods if (state := _terminated_state(pod)) and state["exitCode"] == 0]
    messages = [state.get("message") or "" for state in succeeded]
    if id_ == PREFLIGHT:
        return next((answer for message in messages if (answer := read_preflight(message))), None)
    # A message may be lost or damaged; another worker may have written one.
    results = [result for message in messages if (result := read_result(message))]
    return min(results, key=lambda result: result.cache == "Hit", default=None)


def _combined_progress(workers: Sequence[Progress]) -> Progress | None:
    """Progress of a step from that of its workers.

    Each worker counts the records that all of them have published, so the highest count is the newest; their rates are
    their own and add up.
    """
    if not workers:
        return None
    newest = max(workers, key=lambda progress: progress.done)
    rate = sum(progress.rate for progress in workers)
    eta = (newest.total - newest.done) / rate if rate > 0 else None
    # each number is finite (Progress), but their sum and quotient may not be, and the API server's JSON has no infinity
    if not math.isfinite(rate) or (eta is not None and not math.isfinite(eta)):
        rate, eta = 0.0, None
    return newest.model_copy(update={"rate": rate, "eta": eta})


def _pod(pod: Object, *, job_ends: bool, gpu_resources: Sequence[str]) -> Pod:
    started, finished = pod_usage.interval(pod, stage=CONTAINER)
    return Pod(
        created=_time(pod["metadata"]["creationTimestamp"]),
        started=started,
        finished=finished,
        devices=pod_usage.gpu_count(pod, gpu_resources),
        outcome=_outcome(pod, _terminated_state(pod), job_ends=job_ends),
        uid=pod["metadata"].get("uid", ""),
    )


def _outcome(pod: Object, state: Object | None, *, job_ends: bool) -> PodOutcome:
    if _preempted(pod):
        # Workers that the Job controller deletes, because one of them has decided about the Job, end with 75 as well.
        stopped = job_ends and "deletionTimestamp" in pod["metadata"] and not _disrupted(pod)
        return "stopped" if stopped else "preempted"
    if state is None:
        # Evicted before its container started, or rejected by the kubelet.
        return "crashed" if pod.get("status", {}).get("phase") == "Failed" else "active"
    return "crashed" if state["exitCode"] else "succeeded"
