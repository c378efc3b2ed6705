"""Why a Job that should run does not, in the words of scheduler, kubelet and Kueue. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from selfalign_stages.contract.task import Failure

Object = Mapping[str, Any]

GRACE_PERIOD = timedelta(seconds=10)
"""A pod may well be unscheduled, or without its image, for this long."""
WAITS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError")
QUEUED, NO_PODS = "QuotaPending", "NoPods"
OVER_QUOTA = "exceeded quota"
"""What admission says where a ResourceQuota is used up."""
STARTING = "ContainerCreating"
"""Scheduled, and nothing in the pod says what it waits for: an image on its way, or what only Events tell."""
BLOCKS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox")
"""Reasons of those Events."""
REMEDIES = {
    "Unschedulable": "no node has room or fits: see resources, nodeSelector and tolerations of its stage",
    "ErrImagePull": "the node cannot pull the stage image: see the operator's images and imagePullSecrets",
    "ImagePullBackOff": "the node cannot pull the stage image: see the operator's images and imagePullSecrets",
    "CreateContainerConfigError": "a Secret or ConfigMap that the pod reads is missing: create it",
}


def pending_reason(job: Object, pods: Sequence[Object], *, now: datetime) -> Failure | None:
    """The first thing that keeps it from running; None while it runs, and while it has waited but shortly."""
    if job["spec"].get("suspend"):
        queue = job["metadata"]["labels"].get("kueue.x-k8s.io/queue-name")
        text = f"Job {job['metadata']['name']} waits for quota in queue {queue}" if queue else "its Job is suspended"
        return Failure(reason=QUEUED if queue else "JobSuspended", message=text)
    waiting = [found for pod in pods if _old(pod, now) and (found := _of_pod(pod))]
    if waiting:
        return waiting[0]
    return None if pods else _no_pods(job, now)


def _old(pod: Object, now: datetime) -> bool:
    return now - datetime.fromisoformat(pod["metadata"]["creationTimestamp"]) >= GRACE_PERIOD


def _of_pod(pod: Object) -> Failure | None:
    status, name = pod.get("status", {}), pod["metadata"]["name"]
    if status.get("phase") not in ("Pending", None):
        return None
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _told(condition.get("reason") or "Unschedulable", name, condition.get("message", ""))
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in WAITS:
            return _told(waiting["reason"], name, waiting.get("message", ""))
        if waiting.get("reason") == STARTING:
            return _told(STARTING, name, "its container is being created")
    return None


def _told(reason: str, pod: str, message: str) -> Failure:
    remedy = f"; {REMEDIES[reason]}" if reason in REMEDIES else ""
    return Failure(reason=reason, message=f"pod {pod}: {message}{remedy}")


def _no_pods(job: Object, now: datetime) -> Failure | None:
    began = job.get("status", {}).get("startTime")
    if began is None or now - datetime.fromisoformat(began) < GRACE_PERIOD or job.get("status", {}).get("active"):
        return None
    name = job["metadata"]["name"]
    text = f"no pod of Job {name} could be created, which quotas and admission rules do: kubectl describe job {name}"
    return Failure(reason=NO_PODS, message=text)
