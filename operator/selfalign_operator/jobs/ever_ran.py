"""Tells whether a pod of a Job has ever begun the step's work. Pure.

An edit may replace a Job that only waits: nothing is lost with it. Once the stage's container has started, there is
work to lose. Init containers and sidecars do not count: they prepare, and a stage image that cannot be pulled beside a
sidecar that runs is still a Job that waits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from selfalign_operator.jobs.pod import CONTAINER

Object = Mapping[str, Any]
"""A Kubernetes object as the API server returns it in JSON."""


def ever_ran(job: Object, pods: Sequence[Object]) -> bool:
    """Returns whether the stage's container has started in any pod, as far as Job and pods still show it.

    Args:
        job: the Job.
        pods: its pods that still exist. Those of an evicted pod do not; the status of the run remembers them.
    """
    status = job.get("status") or {}
    if status.get("ready") or status.get("succeeded") or any(map(_started, pods)):
        return True
    # A failed pod may have been deleted. Only one that is known never to have started counts for nothing.
    rejected = sum((pod.get("status") or {}).get("phase") == "Failed" for pod in pods)
    return bool((status.get("failed") or 0) > rejected)


def _started(pod: Object) -> bool:
    status = pod.get("status") or {}
    if status.get("phase") in ("Running", "Succeeded"):
        return True
    # A pod stays Pending while another of its containers cannot start, and a rejected pod has no containers' status.
    containers = status.get("containerStatuses") or ()
    return any(one["name"] == CONTAINER and _container_started(one) for one in containers)


def _container_started(container: Object) -> bool:
    states = [container.get("state") or {}, container.get("lastState") or {}]
    return any(state.get("running") is not None or state.get("terminated") is not None for state in states)
