"""Reads from a pod when it had its GPUs, and how many. Pure.

GPU time runs from the first start of a container of the pod, init containers included, to the end of its last one.
Before, a pod waits for a node or for its images; a pod that the kubelet rejected never starts a container and has none.
Counting from status.startTime, which the kubelet sets when it has taken notice of a pod, charged both.

A node's clock may differ from the API server's, which all other times are compared with. The API server notes when it
stored a status (metadata.managedFields), and a kubelet writes its status as soon as something changes: the difference
between that time and the newest time in the status is how far the node's clock is off.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from selfalign_operator.api.devices import GPU_RESOURCES, gpus

Object = Mapping[str, Any]
TERMINAL = ("Succeeded", "Failed")
"""Pod phases in which no container runs and none will (core/v1 PodPhase)."""
TOLERATED_SKEW = timedelta(seconds=10)
"""Difference that is put down to the delay of a kubelet's write, and to times of whole seconds."""


def gpu_count(pod: Object, names: Sequence[str] = GPU_RESOURCES) -> int:
    """Returns the number of GPUs in the limits of a pod's containers.

    Init containers run before the others and get the same devices; those that go on beside them (sidecars) do not.

    Args:
        pod: the pod.
        names: resource names of GPUs, in which `*` stands for any text.
    """
    spec = pod.get("spec", {})
    counts = [gpus(_limits(one), names) for one in spec.get("containers") or ()]
    init = [(gpus(_limits(one), names), one.get("restartPolicy")) for one in spec.get("initContainers") or ()]
    sidecars = sum(count for count, policy in init if policy == "Always")
    return max([sum(counts) + sidecars, *(count for count, policy in init if policy != "Always")])


def interval(pod: Object, *, stage: str) -> tuple[datetime | None, datetime | None]:
    """Returns when the pod's containers began to have its GPUs, and until when, by the API server's clock.

    Args:
        pod: the pod.
        stage: name of the container that runs the step.

    Returns:
        Start, None if no container has started; end, None if one still runs.
    """
    status = pod.get("status", {})
    started = _started(status)
    if started is None:
        return None, None
    finished, skew = _finished(pod, stage), _skew(pod)
    return started - skew, max(started, finished) - skew if finished is not None else None


def _limits(container: Object) -> Object:
    limits: Object = (container.get("resources") or {}).get("limits") or {}
    return limits


def _started(status: Object) -> datetime | None:
    starts = [state["startedAt"] for state in _states(status) if state.get("startedAt")]
    if starts:
        return min(map(datetime.fromisoformat, starts))
    # A container may have run although its status, which any client with the right may write, does not say since when.
    ran = status.get("phase") in ("Running", "Succeeded") or any(True for _ in _states(status))
    return datetime.fromisoformat(status["startTime"]) if ran and status.get("startTime") else None


def _finished(pod: Object, stage: str) -> datetime | None:
    status = pod.get("status", {})
    ends = [state["finishedAt"] for state in _states(status) if state.get("finishedAt")]
    if status.get("phase") in TERMINAL:
        # The pod of a lost node is set to Failed by the control plane: its containers still count as running, and the
        # newest condition tells when.
        ends = ends or [one["lastTransitionTime"] for one in status.get("conditions") or () if _has_time(one)]
        return max(map(datetime.fromisoformat, ends), default=None)
    containers = status.get("containerStatuses") or ()
    stage_ended = any(one["name"] == stage and "terminated" in (one.get("state") or {}) for one in containers)
    runs = any("running" in (one.get("state") or {}) for one in containers)
    return max(map(datetime.fromisoformat, ends), default=None) if stage_ended and not runs else None


def _states(status: Object) -> Iterator[Object]:
    """States of containers that run or have run, restarts included; a waiting one has neither start nor end."""
    for group in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(group) or ():
            for part in ("state", "lastState"):
                for kind in ("running", "terminated"):
                    if (state := (container.get(part) or {}).get(kind)) is not None:
                        yield state


def _has_time(condition: Object) -> bool:
    return bool(condition.get("lastTransitionTime"))


def _skew(pod: Object) -> timedelta:
    """How far the clock that the containers' times come from is ahead of the API server's; zero if that is unknown."""
    written = [
        entry["time"]
        for entry in pod.get("metadata", {}).get("managedFields") or ()
        if entry.get("time") and "f:containerStatuses" in ((entry.get("fieldsV1") or {}).get("f:status") or {})
    ]
    status = pod.get("status", {})
    times = [state[name] for state in _states(status) for name in ("startedAt", "finishedAt") if state.get(name)]
    if not written or not times:
        return timedelta()
    skew = max(map(datetime.fromisoformat, times)) - max(map(datetime.fromisoformat, written))
    return skew if abs(skew) > TOLERATED_SKEW else timedelta()
