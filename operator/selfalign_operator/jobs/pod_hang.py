"""Explains what keeps a pod from ending: a sidecar, a lost node, or a finalizer. Pure.

A Job waits for its pods without a limit and without a word. Three causes outlive the step: a container beside the
stage's that never ends, a node that no longer responds, so that nobody confirms the end of its pods, and a finalizer
that another party has put on a pod or on the Job.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from selfalign_operator.jobs.pod import CONTAINER
from selfalign_operator.jobs.pod_end import where
from selfalign_stages.contract.task import Failure

Object = Mapping[str, Any]
"""A Kubernetes object, or a part of one, as the API server returns it in JSON."""

SIDECAR_RUNNING, NODE_NOT_READY = "SidecarStillRunning", "NodeNotReady"
POD_TERMINATING, FINALIZER = "PodStuckTerminating", "BlockedByFinalizer"
SIDECAR_GRACE = timedelta(seconds=20)
"""How long other containers may run on after the stage's. A sidecar that the stage ends needs seconds; no
result is lost if it is cut off later."""
TERMINATING_GRACE = timedelta(seconds=20)
"""How long a pod may stay after its deletionTimestamp, which includes its grace period: the kubelet sends SIGKILL then,
and removes the pod within seconds."""
OWN_FINALIZERS = ("batch.kubernetes.io/job-tracking", "foregroundDeletion", "orphan")
"""Finalizers of Kubernetes itself, which its controllers remove."""


def sidecars(pods: Sequence[Object], *, now: datetime) -> Failure | None:
    """Returns which containers keep a Job's pods running after every stage container has ended.

    Native sidecars (init containers with restartPolicy Always) never count: the kubelet ends them (KEP-753).

    Args:
        pods: the pods of one Job.
        now: the current time.

    Returns:
        None while a stage container runs or may start, unless one has published the artifact (exit code 0): nothing is
        left to do for the others then.
    """
    active = [pod for pod in pods if _active(pod)]
    ended = {id(pod): end for pod in active if (end := _stage_end(pod)) is not None}
    published = any(end["exitCode"] == 0 for end in ended.values())
    if not ended or (len(ended) < len(active) and not published):
        return None
    outlived = [pod for pod in active if id(pod) in ended and _outlived(pod, ended[id(pod)], now)]
    if not outlived:
        return None
    pod, names = outlived[0], ", ".join(_running_beside(outlived[0]))
    text = (
        f"{where(pod)}: the stage ended with exit code {ended[id(pod)]['exitCode']}, but container {names} still runs "
        "and keeps the pod with its devices; the result is recorded and the Job deleted. To avoid the delay, make it a "
        "native sidecar (an init container with restartPolicy: Always), or switch its injection off by a label or "
        "annotation in spec.podDefaults.template.metadata (Istio: label sidecar.istio.io/inject: 'false')"
    )
    return Failure(reason=SIDECAR_RUNNING, message=text)


def hang(job: Object, pods: Sequence[Object], *, now: datetime) -> Failure | None:
    """Returns what keeps a Job's pods, or the Job itself, from ending although they should.

    Args:
        job: the Job.
        pods: its pods.
        now: the current time.

    Returns:
        The first cause, with pod, node and remedy; None if there is none.
    """
    causes = [cause for pod in pods if (cause := _not_removed(pod, now) or _node_lost(pod))]
    if causes:
        return causes[0]
    if not pods and (names := _foreign_finalizers(job)) and _overdue(job, now):
        return _blocked("job", job["metadata"]["name"], names)
    return None


def _active(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed") and not _deleted(pod)


def _deleted(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _stage_end(pod: Object) -> Object | None:
    for container in pod.get("status", {}).get("containerStatuses") or ():
        if container["name"] == CONTAINER:
            ended: Object | None = (container.get("state") or {}).get("terminated")
            return ended
    return None


def _running_beside(pod: Object) -> list[str]:
    """Names of the regular containers that have not ended; one that never started keeps the pod as well."""
    containers: Iterable[Object] = pod.get("status", {}).get("containerStatuses") or ()
    return [one["name"] for one in containers if "terminated" not in (one.get("state") or {})]


def _outlived(pod: Object, end: Object, now: datetime) -> bool:
    ended_at = end.get("finishedAt") or pod["metadata"]["creationTimestamp"]
    return bool(_running_beside(pod)) and now - datetime.fromisoformat(ended_at) >= SIDECAR_GRACE


def _overdue(thing: Object, now: datetime) -> bool:
    deadline = thing["metadata"].get("deletionTimestamp")
    return deadline is not None and now - datetime.fromisoformat(deadline) >= TERMINATING_GRACE


def _foreign_finalizers(thing: Object) -> list[str]:
    return [name for name in thing["metadata"].get("finalizers") or () if name not in OWN_FINALIZERS]


def _not_removed(pod: Object, now: datetime) -> Failure | None:
    if not _overdue(pod, now):
        return None
    name, node = pod["metadata"]["name"], pod.get("spec", {}).get("nodeName")
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    if (names := _foreign_finalizers(pod)) and (ended or not node):
        return _blocked("pod", name, names)
    if not node:
        return None
    # kubectl delete --force would not help: the Job keeps its finalizer on a pod that has no final phase, and only the
    # pod garbage collector gives it one, for a node with this taint (KEP-2268) or without a Node object.
    text = (
        f"{where(pod)} should have ended at {pod['metadata']['deletionTimestamp']}, but node {node} does not confirm "
        "it; wait until the node is back, or, once it is certain that the node is off: "
        f"kubectl taint node {node} "
        "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
    )
    return Failure(reason=POD_TERMINATING, message=text)


def _blocked(kind: str, name: str, finalizers: Sequence[str]) -> Failure:
    text = (
        f"{kind} {name} is deleted but kept by finalizer {', '.join(finalizers)} of another party: let that party "
        f'remove it, or: kubectl patch {kind} {name} --type=merge -p \'{{"metadata":{{"finalizers":null}}}}\''
    )
    return Failure(reason=FINALIZER, message=text)


def _node_lost(pod: Object) -> Failure | None:
    """A running pod of which the node controller says that it is not ready, while the kubelet said that it is.

    The operator reads no nodes. The node controller sets condition Ready of all pods of a node that stops reporting to
    False, and leaves ContainersReady as the kubelet set it.
    """
    status, spec = pod.get("status", {}), pod.get("spec", {})
    conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
    lost = conditions.get("Ready") == "False" and conditions.get("ContainersReady") == "True"
    if status.get("phase") != "Running" or not lost or spec.get("readinessGates") or _deleted(pod):
        return None
    text = (
        f"{where(pod)}: node {spec.get('nodeName')} stopped reporting; Kubernetes replaces the pod after its "
        "toleration of an unreachable node (5 minutes by default; tolerationSeconds in spec.podDefaults.template). "
        "Check the node"
    )
    return Failure(reason=NODE_NOT_READY, message=text)
