"""Explains why a pod ended for another cause than its stage container: rejected, evicted, never initialised. Pure.

The Job says no more than "Job has reached the specified backoff limit". The cause is in the pod: the kubelet writes
status.reason and status.message when it rejects or evicts a pod, and an init container that fails leaves its exit code
in status.initContainerStatuses (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from selfalign_operator.jobs.termination import condition_reason
from selfalign_stages.contract.task import Failure

Object = Mapping[str, Any]
"""A Kubernetes object, or a part of one, as the API server returns it in JSON."""

EVICTED = "Evicted"
"""status.reason of a pod that the kubelet evicted because its node ran short of memory, disk or process ids."""
OUT_OF = "OutOf"
"""Beginning of status.reason of a pod for which its node had too little left: OutOfcpu, OutOfnvidia.com/gpu."""
POD_ENDED, INIT_CONTAINER_FAILED = "PodFailed", "InitContainerFailed"
LOG_CHARACTERS = 300
"""How much of the end of an init container's message a failure quotes."""
REPEATED = "the step is started again on a node of the scheduler's choice"
REMEDIES = {
    "UnexpectedAdmissionError": "a device plugin of the node reports no healthy device: check it there, or keep the "
    "run from the node with nodeAffinity in spec.podDefaults.template",
    "TopologyAffinityError": "the node cannot give all devices and CPUs from one NUMA node: request fewer in "
    "resources of the stage, or choose other nodes with nodeSelector in spec.podDefaults.template",
    "NodeAffinity": f"the node's labels changed while the pod was on its way: {REPEATED}",
    "NodeShutdown": f"the node is shut down: {REPEATED}",
    "Terminated": f"the node is shut down: {REPEATED}",
    "Shutdown": f"the node is shut down: {REPEATED}",
    "NodeLost": f"the node does not respond: {REPEATED}",
    "Preempting": f"a critical pod took its place on the node: {REPEATED}",
    "DeadlineExceeded": "activeDeadlineSeconds of the pod is over: remove it from the template of the stage or from "
    "spec.podDefaults.template; spec.budget.deadline limits the run",
}
"""What to do, by status.reason of the pod."""
MORE_DISK = "raise resources.requests.ephemeral-storage of the stage, for a node with more disk"
HIGHER_LIMIT = "raise resources.limits.ephemeral-storage of the stage"
SHORTAGES = {
    "Usage of EmptyDir": f"{HIGHER_LIMIT}, or sizeLimit of the volume in its template",
    "ephemeral local storage": HIGHER_LIMIT,
    "local ephemeral storage": HIGHER_LIMIT,
    "resource: ephemeral-storage": MORE_DISK,
    "resource: nodefs": MORE_DISK,
    "resource: imagefs": MORE_DISK,
    "resource: inodes": MORE_DISK,
    "resource: memory": "raise resources.requests.memory of the stage to what it uses, so that the scheduler chooses a "
    "node with more memory",
    "resource: pids": "the node has too many processes: keep the run from it with nodeAffinity in "
    "spec.podDefaults.template",
}
"""What to do about an eviction, by a part of the kubelet's message; the first that occurs counts."""
EDIT_RESTARTS = "an edit of the run starts the step again with it"
OVERCOMMITTED = (
    "the node's resources were taken by other pods between scheduling and start: the step is started again; if this "
    "repeats, look for pods that bypass the scheduler on this node"
)


def pod_end(pod: Object) -> Failure | None:
    """Returns why a failed pod ended, as kubelet and init containers report it.

    Args:
        pod: the pod, in any phase.

    Returns:
        Reason and message with pod, node and remedy; None for pods that did not fail, and for those that report nothing
        beyond their stage container.
    """
    status = pod.get("status", {})
    if status.get("phase") != "Failed":
        return None
    return _of_kubelet(pod, status) or _of_init_container(pod, status)


def disruptions(pods: Sequence[Object]) -> tuple[Failure, ...]:
    """Returns why pods of one Job ended before their stage container decided anything, oldest pod first.

    Args:
        pods: the pods of the Job that still exist.
    """
    oldest_first = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
    return tuple(failure for pod in oldest_first if (failure := pod_end(pod)) is not None)


def worded(failures: Sequence[Failure]) -> Failure | None:
    """Returns the newest of several disruptions, with their number if there are several of its kind.

    Args:
        failures: disruptions of one Job, oldest first.
    """
    if not failures:
        return None
    newest = failures[-1]
    alike = sum(failure.reason == newest.reason for failure in failures)
    return newest if alike == 1 else newest.model_copy(update={"message": f"{alike} times; last: {newest.message}"})


def where(pod: Object) -> str:
    """Returns "pod NAME on node NODE", or "pod NAME" of a pod that has no node yet."""
    name, node = pod["metadata"]["name"], pod.get("spec", {}).get("nodeName")
    return f"pod {name} on node {node}" if node else f"pod {name}"


def _of_kubelet(pod: Object, status: Object) -> Failure | None:
    """The kubelet's rejection or eviction: the only parties that set status.reason are kubelet and node controller."""
    reason, message = status.get("reason") or "", (status.get("message") or "").strip()
    if status.get("phase") != "Failed" or not (reason or message):
        return None
    verb = "was evicted" if reason == EVICTED else "ended"
    cause = f"{where(pod)} {verb} ({reason or 'no reason given'}): {message or 'no message'}"
    return Failure(
        reason=condition_reason(reason, default=_default(reason)), message=_with(cause, _remedy(reason, message))
    )


def _default(reason: str) -> str:
    """A condition's reason in place of one that the API would refuse, such as OutOfnvidia.com/gpu."""
    return "OutOfDevices" if reason.startswith(OUT_OF) else POD_ENDED


def _remedy(reason: str, message: str) -> str:
    if reason in REMEDIES:
        return REMEDIES[reason]
    if reason.startswith(OUT_OF):
        return OVERCOMMITTED
    if reason == EVICTED:
        shortage = next((remedy for part, remedy in SHORTAGES.items() if part in message), MORE_DISK)
        return f"{shortage}; {EDIT_RESTARTS}"
    return f"kubectl describe node shows the state of the node; {REPEATED}"


def _of_init_container(pod: Object, status: Object) -> Failure | None:
    for container in status.get("initContainerStatuses") or ():
        ended = container.get("state", {}).get("terminated")
        if ended is None or ended["exitCode"] == 0:
            continue
        name, message = container["name"], (ended.get("message") or "").strip()[-LOG_CHARACTERS:]
        cause = f"{where(pod)}: init container {name} ended with exit code {ended['exitCode']}"
        cause += f" ({ended['reason']})" if ended.get("reason") else ""
        cause += f": {message}" if message else ""
        log = f"kubectl logs {pod['metadata']['name']} -c {name}"
        remedy = f"read its log ({log}) and mend it where it is defined: template, podDefaults.template, or a webhook"
        return Failure(reason=INIT_CONTAINER_FAILED, message=_with(cause, remedy))
    return None


def _with(cause: str, remedy: str) -> str:
    return f"{cause}; {remedy}" if remedy else cause
