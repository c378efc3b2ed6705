"""Turns a run's Jobs and pods, as an API server gives them, into what the plan sees. Pure.

The Job says whether an attempt runs and how it ended; its pods say why, and what they published: the termination
message of a stage process is its result (contract.task.Result) or its failure.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from selfalign_operator.api.resources import gpus
from selfalign_operator.jobs.identity import ATTEMPT, GENERATION, KEY, STEP
from selfalign_operator.jobs.pending_reason import pending_reason
from selfalign_operator.jobs.pod import CONTAINER
from selfalign_operator.planning.observation import PREFLIGHT, Attempt, Fate, Pod
from selfalign_stages.contract.exits import FINAL_CODES, ExitCode
from selfalign_stages.contract.task import Failure, PreflightResult, Progress, Result
from selfalign_stages.contract.termination_message import decode, decode_preflight

Object = Mapping[str, Any]

OUT_OF_MEMORY = "OOMKilled"
SPENT = "FailedIndexes"
"""Why a Job ends whose workers were each tried again as often as backoffLimitPerIndex allows."""


def attempts(
    jobs: Iterable[Object], pods: Sequence[Object], *, progress: Mapping[str, Progress], now: datetime
) -> dict[str, tuple[Attempt, ...]]:
    """Attempts by process id; `progress` is by pod name."""
    found: dict[str, list[Attempt]] = {}
    for job in jobs:
        name = job["metadata"]["name"]
        mine = pods_of(name, pods)
        id_ = job["metadata"]["labels"][STEP]
        found.setdefault(id_, []).append(attempt(job, mine, progress=progress, now=now))
    return {id_: tuple(sorted(tried, key=lambda one: one.number)) for id_, tried in found.items()}


def pods_of(job: str, pods: Sequence[Object]) -> list[Object]:
    """The pods of a Job."""
    return [pod for pod in pods if pod["metadata"].get("labels", {}).get("batch.kubernetes.io/job-name") == job]


def attempt(job: Object, pods: Sequence[Object], *, progress: Mapping[str, Progress], now: datetime) -> Attempt:
    """One Job with its pods as one attempt."""
    metadata, status = job["metadata"], job.get("status", {})
    id_, labels, notes = metadata["labels"][STEP], metadata["labels"], metadata.get("annotations", {})
    ended = _ended(status)
    code, failure = (None, None) if ended is None else _ending(ended, pods)
    result = _result(id_, pods) if code == ExitCode.PUBLISHED else None
    running = code is None
    return Attempt(
        key=notes.get(KEY, ""),
        number=int(labels[ATTEMPT]),
        started=time(status.get("startTime") or metadata["creationTimestamp"]),
        finished=None if ended is None else time(status.get("completionTime") or ended["lastTransitionTime"]),
        exit_code=code,
        stopping="deletionTimestamp" in metadata,
        result=result,
        failure=failure,
        progress=_progress([progress[name] for pod in pods if (name := pod["metadata"]["name"]) in progress]),
        job=metadata["name"],
        generation=int(notes[GENERATION]) if GENERATION in notes else None,
        workers=job["spec"].get("completions") or 1,
        pods=tuple(map(_pod, pods)),
        exhausted=ended is not None and ended.get("reason") == SPENT,
        pending=pending_reason(job, pods, now=now) if running else None,
    )


def time(text: str) -> datetime:
    """A moment as Kubernetes writes it (RFC 3339)."""
    return datetime.fromisoformat(text)


def _ended(status: Object) -> Object | None:
    """The condition that ends a Job. FailureTarget and SuccessCriteriaMet come before: pods still end then."""
    conditions = status.get("conditions") or ()
    return next((c for c in conditions if c["type"] in ("Complete", "Failed") and c["status"] == "True"), None)


def _ending(condition: Object, pods: Sequence[Object]) -> tuple[int, Failure | None]:
    if condition["type"] == "Complete":
        return ExitCode.PUBLISHED, None
    failed = [(state["exitCode"], pod, state) for pod in pods if (state := terminated(pod)) and state["exitCode"] != 0]
    final = [entry for entry in failed if entry[0] in FINAL_CODES]
    crashes = [entry for entry in failed if not _interrupted(entry[1])]
    if not failed:
        disrupted = any(map(_interrupted, pods))
        told = Failure(
            reason=condition.get("reason") or "JobFailed", message=condition.get("message") or "the Job failed"
        )
        return (ExitCode.INTERRUPTED, None) if disrupted else (1, told)
    code, pod, state = max(final or crashes or failed, key=lambda entry: str(entry[2].get("finishedAt")))
    return code, _failure(pod, state)


def _failure(pod: Object, state: Object) -> Failure | None:
    try:
        return Failure.model_validate_json(state.get("message") or "")
    except ValidationError:
        name, code = pod["metadata"]["name"], state["exitCode"]
        if state.get("reason") == OUT_OF_MEMORY:
            text = f"pod {name} was killed for lack of memory: raise resources.limits.memory of its stage"
            return Failure(reason=OUT_OF_MEMORY, message=text)
        last = (state.get("message") or "").strip()[-500:]
        text = f"pod {name} ended with exit code {code}"
        return Failure(reason="Crash", message=f"{text}: {last}" if last else f"{text}: see its log")


def terminated(pod: Object) -> Object | None:
    """The terminated state of the stage's container, once the pod has ended."""
    for container in pod.get("status", {}).get("containerStatuses") or ():
        if container["name"] == CONTAINER:
            state: Object | None = container.get("state", {}).get("terminated")
            return state
    return None


def _interrupted(pod: Object) -> bool:
    """Whether the pod ended for a reason that is not its own: drained, preempted, evicted, or stopped by SIGTERM."""
    conditions = pod.get("status", {}).get("conditions") or ()
    disrupted = any(c["type"] == "DisruptionTarget" and c["status"] == "True" for c in conditions)
    state = terminated(pod)
    ended = state is not None or pod.get("status", {}).get("phase") == "Failed"
    return ended and (disrupted or (state is not None and state["exitCode"] == ExitCode.INTERRUPTED))


def _result(id_: str, pods: Sequence[Object]) -> Result | PreflightResult | None:
    """What a pod published; of several workers the one that did more than find the manifest."""
    messages = [state.get("message") or "" for pod in pods if (state := terminated(pod)) and state["exitCode"] == 0]
    if id_ == PREFLIGHT:
        return next((answer for text in messages if (answer := decode_preflight(text.encode()))), None)
    results = []
    for text in messages:
        try:
            results.append(Result.model_validate_json(decode(text.encode())))
        except ValueError:
            continue
    return min(results, key=lambda result: result.cache == "Hit", default=None)


def _progress(told: Sequence[Progress]) -> Progress | None:
    """Workers share the same records: the farthest knows best, and their rates add up."""
    if not told:
        return None
    best = max(told, key=lambda one: one.done)
    rate = sum(one.rate for one in told)
    eta = (best.total - best.done) / rate if rate > 0 else None
    return best.model_copy(update={"rate": rate, "eta": eta})


def _pod(pod: Object) -> Pod:
    """When it held its devices: from its start to the end of its container."""
    limits = [c.get("resources", {}).get("limits", {}) for c in pod.get("spec", {}).get("containers", ())]
    status, state = pod.get("status", {}), terminated(pod)
    began, ended = status.get("startTime"), state.get("finishedAt") if state else None
    return Pod(
        created=time(pod["metadata"]["creationTimestamp"]),
        began=time(began) if began else None,
        ended=time(ended) if ended else None,
        devices=sum(map(gpus, limits)),
        fate=_fate(pod, state),
    )


def _fate(pod: Object, state: Object | None) -> Fate:
    if _interrupted(pod):
        return "preempted"
    if state is None:
        return "crashed" if pod.get("status", {}).get("phase") == "Failed" else "alive"
    return "crashed" if state["exitCode"] else "done"
