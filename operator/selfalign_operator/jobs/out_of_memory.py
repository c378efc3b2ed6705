"""Finds pods that the kernel killed for lack of memory, and says what was asked for. Pure.

The same step on the same data needs the same memory: another attempt with nothing changed would be killed as well,
after hours of GPU time. So the plan treats it as final (planning.retries).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from selfalign_operator.jobs.placement_fields import POD_DEFAULTS, resource_field, template_field
from selfalign_operator.jobs.pod import CONTAINER
from selfalign_operator.planning.retries import OUT_OF_MEMORY
from selfalign_stages.contract.exits import ExitCode
from selfalign_stages.contract.task import Failure

Object = Mapping[str, Any]
"""A Kubernetes object, or a part of one, as the API server returns it in JSON."""


def out_of_memory(job: Object, pods: Sequence[Object]) -> Failure | None:
    """Returns which container of a Job was killed for lack of memory, with its request and limit and the field to edit.

    Args:
        job: the Job.
        pods: its pods. Of a sharded step, a worker that was killed counts while the others run.

    Returns:
        None if no container was killed for lack of memory. A sidecar that was started again, and what a pod that
        succeeded left behind, do not count.
    """
    killed = [(pod, status, ended) for pod in pods for status, ended in _killed(pod)]
    if not killed:
        return None
    pod, status, ended = max(killed, key=lambda entry: str(entry[2].get("finishedAt")))
    return Failure(reason=OUT_OF_MEMORY, message=_message(job, pod, status["name"], ended))


def with_what_was_asked(job: Object, pods: Sequence[Object], failure: Failure) -> Failure:
    """Adds pod, node, resources and their field to a lack of memory that the stage itself reports, as of a GPU's.

    Args:
        job: the Job.
        pods: its pods, of which one ended with DOES_NOT_FIT.
        failure: the stage's message.
    """
    for pod in pods:
        status = pod.get("status") or {}
        for container in status.get("containerStatuses") or ():
            ended = (container.get("state") or {}).get("terminated") or {}
            if container["name"] == CONTAINER and ended.get("exitCode") == ExitCode.DOES_NOT_FIT:
                limits = _resources(pod, CONTAINER).get("limits") or {}
                asked = ", ".join(f"{name} {quantity}" for name, quantity in sorted(limits.items())) or "none"
                text = f"{failure.message} ({_where(pod, CONTAINER)}; limits: {asked}; {resource_field(job, 'limits')})"
                return failure.model_copy(update={"message": text})
    return failure


def _killed(pod: Object) -> Iterator[tuple[Object, Object]]:
    status = pod.get("status") or {}
    if status.get("phase") == "Succeeded":
        return
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        ended = (container.get("state") or {}).get("terminated") or {}
        if ended.get("reason") == OUT_OF_MEMORY and ended.get("exitCode") != 0:
            yield container, ended


def _message(job: Object, pod: Object, name: str, ended: Object) -> str:
    resources = _resources(pod, name)
    limit, request = ((resources.get(part) or {}).get("memory") for part in ("limits", "requests"))
    text = f"{_where(pod, name)} was killed for lack of memory{_after(ended)}"
    asked = f"request {request}" if request else "no request"
    if limit:
        return f"{text}. Its limit was {limit} ({asked}): raise {_field(job, name, 'limits.memory')}"
    return (
        f"{text}. It has no limit ({asked}), so that its node ran out of memory: set "
        f"{_field(job, name, 'requests.memory')} to what it needs, for a node that has it, or "
        f"{_field(job, name, 'limits.memory')}"
    )


def _where(pod: Object, container: str) -> str:
    node = (pod.get("spec") or {}).get("nodeName")
    return f"container {container} of pod {pod['metadata']['name']}" + (f" on node {node}" if node else "")


def _resources(pod: Object, container: str) -> Object:
    """The container's resources as the API server admitted them, with the defaults of a LimitRange."""
    spec = pod.get("spec") or {}
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return next((one.get("resources") or {} for one in containers if one["name"] == container), {})


def _after(ended: Object) -> str:
    started, finished = ended.get("startedAt"), ended.get("finishedAt")
    if not started or not finished:
        return ""
    seconds = (datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds()
    return f" after {seconds:.0f} s"


def _field(job: Object, container: str, resource: str) -> str:
    if container == CONTAINER:
        return resource_field(job, resource)
    templates = dict.fromkeys((template_field(job), POD_DEFAULTS))
    return f"resources.{resource} of container {container} in {' or '.join(templates)}, or where a webhook adds it"
