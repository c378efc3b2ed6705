"""Explains why a Job that should run does not, from the states that Kueue, scheduler and kubelet report. Pure.

A Job's own status does not show why its pods wait: a missing Secret or a node without free GPUs resembles a slow step.
The reasons are spread over three objects: Kueue suspends the Job (spec.suspend), the scheduler sets the pod's condition
PodScheduled, and the kubelet sets a container's waiting reason. What only Events record (a rejected pod creation, a
failed mount) is left to the cluster package, which reads Events for NO_PODS and CONTAINER_CREATING alone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from selfalign_operator.jobs.remedies import with_remedy
from selfalign_stages.contract.task import Failure

Object = Mapping[str, Any]
"""A Kubernetes object as the API server returns it in JSON."""

GRACE_PERIOD = timedelta(seconds=10)
"""A healthy pod may be unscheduled, or without its image, for this long: reported sooner, every start would alternate
between reasons."""
WAITING_REASONS = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
)
"""Waiting reasons that the kubelet sets when a container cannot start (state.waiting.reason)."""
CONTAINER_CREATING = "ContainerCreating"
"""Waiting reason of every scheduled pod before its container starts: the image is being pulled, or a volume cannot be
mounted. Only the pod's Events distinguish the two."""
QUOTA_PENDING, NO_PODS = "QuotaPending", "NoPods"
OVER_QUOTA = "exceeded quota"
"""Part of the message with which the ResourceQuota admission plugin rejects a pod."""
STARTUP_EVENTS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox")
"""Reasons of the Warning Events that the kubelet records when it cannot start a scheduled pod."""
REMEDIES = {
    "CreateContainerConfigError": "a Secret or ConfigMap that the pod reads is missing: create it",
}
"""What to do, by reason, whatever the run says; remedies by the fields of the run follow (jobs.remedies)."""


def pending_reason(job: Object, pods: Sequence[Object], *, now: datetime) -> Failure | None:
    """Returns the first reason that keeps a Job from running.

    Args:
        job: the Job.
        pods: its pods.
        now: the current time; pods younger than GRACE_PERIOD are not reported.

    Returns:
        A reason with a message that names Job or pod and the remedy; None if the Job runs, or may soon.
    """
    name = job["metadata"]["name"]
    if job["spec"].get("suspend"):
        # Kueue keeps a queued Job suspended until its Workload is admitted. Without a queue, a person suspended it.
        queue = job["metadata"]["labels"].get("kueue.x-k8s.io/queue-name")
        if not queue:
            return Failure(reason="JobSuspended", message=f"Job {name} is suspended: set its spec.suspend to false")
        return Failure(reason=QUOTA_PENDING, message=f"Job {name} waits for quota in queue {queue} (spec.queueName)")
    reasons = (_of_pod(pod) for pod in pods if _past_grace_period(pod, now))
    first = next((reason for reason in reasons if reason is not None), None)
    if first is not None:
        return with_remedy(job, first)
    return None if pods else _no_pods(job, now)


def _past_grace_period(pod: Object, now: datetime) -> bool:
    return now - datetime.fromisoformat(pod["metadata"]["creationTimestamp"]) >= GRACE_PERIOD


def _of_pod(pod: Object) -> Failure | None:
    status, name = pod.get("status", {}), pod["metadata"]["name"]
    if status.get("phase") not in ("Pending", None):
        return None
    # In the order in which a pod starts: the scheduler, then the kubelet with init containers before the others.
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _failure(condition.get("reason") or "Unschedulable", name, condition.get("message", ""))
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in WAITING_REASONS:
            return _failure(waiting["reason"], name, waiting.get("message", ""))
        if waiting.get("reason") == CONTAINER_CREATING:
            return _failure(CONTAINER_CREATING, name, "its container is being created")
    return None


def _failure(reason: str, pod: str, message: str) -> Failure:
    remedy = f"; {REMEDIES[reason]}" if reason in REMEDIES else ""
    return Failure(reason=reason, message=f"pod {pod}: {message}{remedy}")


def _no_pods(job: Object, now: datetime) -> Failure | None:
    """A started Job without pods: the API server rejects them, which the Job controller records as an Event alone."""
    started = job.get("status", {}).get("startTime")
    if started is None or now - datetime.fromisoformat(started) < GRACE_PERIOD or job.get("status", {}).get("active"):
        return None
    name = job["metadata"]["name"]
    text = f"no pod of Job {name} could be created, because of quota or admission: kubectl describe job {name}"
    return Failure(reason=NO_PODS, message=text)
