"""Explains which container of a pod cannot start, from the waiting reasons that the kubelet reports. Pure.

Every reason counts but the two of a start that goes well. A list of known ones would miss those that container runtimes
and later kubelets add, and the pod would then wait without a word. Init containers and sidecars keep the stage's
container from starting as well as its own image does.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from selfalign_operator.jobs.pod import CONTAINER
from selfalign_operator.jobs.pod_end import where
from selfalign_operator.jobs.termination import condition_reason
from selfalign_stages.contract.task import Failure

Object = Mapping[str, Any]
"""A Kubernetes object, or a part of one, as the API server returns it in JSON."""

CONTAINER_CREATING, POD_INITIALIZING = "ContainerCreating", "PodInitializing"
"""Waiting reasons of a start that goes well: image and volumes are prepared, or init containers run."""
CRASH_LOOP = "CrashLoopBackOff"
IMAGE_PULL = ("ErrImagePull", "ImagePullBackOff")
"""Waiting reasons whose remedy depends on how the run's images are chosen: `pending_reason` adds it."""
DEFINED = "where it is defined: the template of the stage, spec.podDefaults.template, or the webhook that adds it"
REMEDIES = {
    "ErrImageNeverPull": "the image must be on the node already (imagePullPolicy: Never): load it there, or set "
    f"imagePullPolicy: IfNotPresent {DEFINED}",
    "InvalidImageName": f"the image's name is malformed: correct it {DEFINED}",
    "ImageInspectError": "the node's image store is damaged: remove the image there (crictl rmi), or keep the run from "
    "the node with nodeAffinity in spec.podDefaults.template",
    "RegistryUnavailable": "the node cannot reach the registry: check its network, or the registry",
    "SignatureValidationFailed": "the node's policy demands a signature: sign the image, or choose one that is signed",
    "CreateContainerConfigError": "a Secret, ConfigMap or key that the container reads is missing, or its user is not "
    "allowed: create it, or correct the container",
    "CreateContainerError": f"the node cannot create the container: correct its command, mounts or name {DEFINED}",
    "RunContainerError": f"the node cannot run the container: correct its command, runtime class or devices {DEFINED}",
    "PreCreateHookError": f"a hook of the node refuses the container: check the node, or correct it {DEFINED}",
    "PostStartHookError": f"its postStart hook fails: correct it {DEFINED}",
    CRASH_LOOP: f"read its log and correct it {DEFINED}",
}
"""What to do, by waiting reason."""


def waiting_container(pod: Object) -> Failure | None:
    """Returns why a container of the pod cannot start, in the order in which containers start.

    Args:
        pod: the pod, in any phase.

    Returns:
        The kubelet's waiting reason, with pod, node, container and remedy. CONTAINER_CREATING if the start may just
        take its time. None once the stage's container runs or has ended, and while init containers do their work.
    """
    status = pod.get("status", {})
    if _stage_has_started(status):
        return None
    failures = [failure for container in _containers(status) if (failure := _of_container(pod, container))]
    # A container that cannot start is the cause; those after it wait for it and report that they are being created.
    stuck = (failure for failure in failures if failure.reason != CONTAINER_CREATING)
    return next(stuck, failures[0] if failures else None)


def _stage_has_started(status: Object) -> bool:
    states = [one.get("state") or {} for one in status.get("containerStatuses") or () if one["name"] == CONTAINER]
    return any("running" in state or "terminated" in state for state in states)


def _containers(status: Object) -> Iterator[Object]:
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _of_container(pod: Object, container: Object) -> Failure | None:
    waiting = (container.get("state") or {}).get("waiting")
    reason = (waiting or {}).get("reason") or ""
    if waiting is None or reason in ("", POD_INITIALIZING):
        return None
    if reason == CONTAINER_CREATING:
        return Failure(
            reason=CONTAINER_CREATING, message=f"{where(pod)}: container {container['name']} is being created"
        )
    message = waiting.get("message") or ""
    if reason in IMAGE_PULL:
        remedy = ""
    else:
        shows = f"kubectl describe pod {pod['metadata']['name']} shows more; correct it {DEFINED}"
        remedy = f"; {REMEDIES.get(reason, shows)}"
    text = f"{where(pod)}: container {container['name']} does not start ({reason}): {message}{_last_end(container)}"
    return Failure(reason=condition_reason(reason, default="ContainerWaiting"), message=text + remedy)


def _last_end(container: Object) -> str:
    """How a container that is started again and again ended last."""
    ended = (container.get("lastState") or {}).get("terminated")
    if ended is None:
        return ""
    reason = f" ({ended['reason']})" if ended.get("reason") else ""
    return f"; it ended {container.get('restartCount', 0)} times, last with exit code {ended['exitCode']}{reason}"
