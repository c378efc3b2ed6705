"""Tells since when a Job works, or waits for its first container. Pure.

Both moments are inputs of the deadlines, which the plan decides about. They are read from the kubelet's and the Job
controller's own timestamps, not from the operator's observations, so that a restart of the operator loses nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from selfalign_operator.jobs.pod import CONTAINER
from selfalign_operator.jobs.pod_end import where
from selfalign_operator.planning.observation import Starting

Object = Mapping[str, Any]
"""A Kubernetes object, or a part of one, as the API server returns it in JSON."""


def starting(job: Object, pods: Sequence[Object]) -> Starting | None:
    """Returns since when a Job waits for its first stage container to run.

    Args:
        job: the Job. One that is suspended waits for quota or for a person, not for its start; the Job controller sets
            status.startTime anew when it resumes.
        pods: its pods.

    Returns:
        The moment, and what its oldest pod does; None once a stage container runs, and while a pod that ended is being
        replaced.
    """
    status, name = job.get("status", {}), job["metadata"]["name"]
    if job["spec"].get("suspend") or any(map(working_since, pods)):
        return None
    waiting = [pod for pod in pods if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")]
    if waiting:
        oldest = min(waiting, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
        return Starting(_time(oldest["metadata"]["creationTimestamp"]), _doing(oldest))
    if pods or status.get("failed") or status.get("succeeded") or "startTime" not in status:
        return None
    return Starting(_time(status["startTime"]), f"Job {name} has no pod")


def newest_start(pods: Sequence[Object]) -> datetime | None:
    """Returns when the newest of the stage containers that run at present started; None if none runs.

    Args:
        pods: the pods of one Job.
    """
    running = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running"]
    return max((since for pod in running if (since := working_since(pod)) is not None), default=None)


def working_since(pod: Object) -> datetime | None:
    """Returns when a pod's stage container started to run, whether or not it has ended since."""
    status = pod.get("status", {})
    for container in status.get("containerStatuses") or ():
        if container["name"] == CONTAINER:
            state = container.get("state") or {}
            current = state["running"] if "running" in state else state.get("terminated")
            if current is None:
                return None
            return _time(current.get("startedAt") or pod["metadata"]["creationTimestamp"])
    if status.get("phase") != "Running":
        return None
    return _time(status.get("startTime") or pod["metadata"]["creationTimestamp"])


def _doing(pod: Object) -> str:
    for container in pod.get("status", {}).get("initContainerStatuses") or ():
        running = (container.get("state") or {}).get("running")
        if running is not None and not container.get("started"):
            since = f" since {running['startedAt']}" if running.get("startedAt") else ""
            return f"{where(pod)}: init container {container['name']} runs{since}"
    return f"{where(pod)}: its container has not started; kubectl describe pod {pod['metadata']['name']} shows more"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
