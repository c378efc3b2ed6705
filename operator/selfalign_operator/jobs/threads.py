"""Number of OpenMP threads in a stage's container, as an environment variable. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from selfalign_operator.api.devices import is_gpu
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.jobs.resolved_placement import ResolvedPlacement


def threads(
    run: SelfAlignRun, placement: ResolvedPlacement, *, container: str, gpu_resources: Sequence[str]
) -> list[dict[str, Any]]:
    """Returns OMP_NUM_THREADS as the CPU limit: PyTorch starts a thread per CPU of the node, which the limit throttles.

    The kubelet reads the limit from the container (downward API, resourceFieldRef) and rounds it up, so that a limit of
    a template or a LimitRange counts. Of a container without a limit it takes the node's allocatable CPUs, which
    are as many threads as without the variable; the stage process lowers that to the CPUs that it may run on.

    Args:
        run: the run, for its pod template.
        placement: resources and template of the stage.
        container: name of the stage's container.
        gpu_resources: resource names of GPUs (api.devices).

    Returns:
        The entry of `env`; none beside a GPU, where vLLM and torchrun choose their own number.
    """
    if placement.devices and _has_gpus(run, placement, container, gpu_resources):
        return []
    limit = {"containerName": container, "resource": "limits.cpu", "divisor": "1"}
    return [{"name": "OMP_NUM_THREADS", "valueFrom": {"resourceFieldRef": limit}}]


def _has_gpus(run: SelfAlignRun, placement: ResolvedPlacement, container: str, gpu_resources: Sequence[str]) -> bool:
    """Whether the container gets GPUs, by the stage's resources or by a template."""
    containers: list[Any] = [{"name": container, "resources": placement.resources}]
    for template in (run.spec.pod_defaults.template or {}, placement.template):
        # templates have no schema: what is malformed here, the API server rejects with the path of the field
        spec = template.get("spec")
        listed = spec.get("containers") if isinstance(spec, Mapping) else None
        containers += listed if isinstance(listed, list) else []
    limits = [_limits(one) for one in containers if isinstance(one, Mapping) and one.get("name") == container]
    return any(is_gpu(str(name), gpu_resources) for one in limits for name in one)


def _limits(container: Mapping[str, Any]) -> Mapping[str, Any]:
    resources = container.get("resources")
    limits = resources.get("limits") if isinstance(resources, Mapping) else None
    return limits if isinstance(limits, Mapping) else {}
