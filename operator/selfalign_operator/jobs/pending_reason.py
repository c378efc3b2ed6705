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
from selfalign_operator.jobs.termination import condition_reason
from selfalign_operator.jobs.waiting_container import waiting_container
from selfalign_stages.contract.task import Failure

Object = Mapping[str, Any]
"""A Kubernetes object as the API server returns it in JSON."""

GRACE_PERIOD = timedelta(seconds=10)
"""A healthy pod may be unscheduled, or without its image, for this long: reported sooner, every start would alternate
between reasons."""
QUOTA_PENDING, NO_PODS, UNSCHEDULABLE = "QuotaPending", "NoPods", "Unschedulable"
OVER_QUOTA = "exceeded quota"
"""Part of the message with which the ResourceQuota admission plugin rejects a pod."""
STARTUP_EVENTS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox")
"""Reasons of the Warning Events that the kubelet records when it cannot start a scheduled pod."""


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
    status = pod.get("status", {})
    if status.get("phase") in ("Succeeded", "Failed"):
        return None
    # In the order in which a pod starts: the scheduler, then the kubelet.
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _unscheduled(pod, condition)
    return waiting_container(pod)


def _unscheduled(pod: Object, condition: Object) -> Failure:
    reason = condition_reason(condition.get("reason") or UNSCHEDULABLE, default=UNSCHEDULABLE)
    return Failure(reason=reason, message=f"pod {pod['metadata']['name']}: {condition.get('message', '')}")


def _no_pods(job: Object, now: datetime) -> Failure | None:
    """A started Job without pods: the API server rejects them, which the Job controller records as an Event alone."""
    started = job.get("status", {}).get("startTime")
    if started is None or now - datetime.fromisoformat(started) < GRACE_PERIOD or job.get("status", {}).get("active"):
        return None
    name = job["metadata"]["name"]
    text = f"no pod of Job {name} could be created, because of quota or admission: kubectl describe job {name}"
    return Failure(reason=NO_PODS, message=text)
