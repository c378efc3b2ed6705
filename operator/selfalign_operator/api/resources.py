"""Placement of a stage's pods: resources, number of workers, and overlays on the pod template.

No field here enters a step's key. Moving a stage to other nodes, or giving it more memory, must never invalidate
artifacts that took days of GPU time.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from selfalign_operator.api.devices import is_device, is_whole
from selfalign_operator.api.values import Duration, ObjectName, Quantity
from selfalign_stages.contract.model import Model

# A copy of the PodTemplate schema would freeze one Kubernetes version and exceed the CRD's size limit. The operator
# submits every Job as a dry run before it accepts a run, so the API server checks the merged template in full.
PodTemplate = Annotated[
    dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
]


def _check_devices(quantities: dict[str, str | int]) -> dict[str, str | int]:
    """Refuses a part of a device, as Kubernetes does with the pods, but before any of them is due.

    In Python alone: JSON Schema has no rule for some keys of a map.
    """
    for name, size in quantities.items():
        if is_device(name) and not is_whole(size):
            raise PydanticCustomError(
                "device",
                "{name} is {size}, not a whole number of devices: write one without a decimal point or suffix m, "
                "such as 1",
                {"name": name, "size": str(size)},
            )
    return quantities


Quantities = Annotated[dict[str, Quantity], AfterValidator(_check_devices)]
"""Quantities by resource name; those of devices are whole numbers."""


class Resources(Model):
    """Resource requests and limits of a stage's container, as in a pod."""

    requests: Quantities = Field(
        default={},
        description="Resources that the scheduler reserves on a node, by name, such as `memory: 40Gi`. Unset: as "
        "Kubernetes does, a resource's limit if it has one, else nothing.",
    )
    limits: Quantities = Field(
        default={},
        description="Resources that the container may use at most, by name, such as `nvidia.com/gpu: 1`. All GPUs "
        "serve one copy of the model. Without a GPU, `cpu` rounded up is the number of threads. Unset: what a "
        "LimitRange of the namespace sets, else no limit.",
    )


class Placement(Model):
    """Pods of one stage: how large, and with which additions. Not part of any step's key.

    Base class of the stages' settings, so that every stage has the same fields.
    """

    resources: Resources | None = Field(
        default=None,
        description="Resource requests and limits of the stage's containers, as in a pod. Unset: none. Steps without "
        "an accelerator (prompts, merge, gate, image, push) get its CPU and memory only. Not part of any step's key.",
    )
    template: PodTemplate | None = Field(
        default=None,
        description="Partial PodTemplate (metadata, spec) laid over the stage's pods as a strategic merge patch, after "
        "spec.podDefaults.template. The stage's container is named `stage`. Not part of any step's key.",
    )


class ShardedPlacement(Placement):
    """Pods of a stage that generates rows: their number as well. Other stages have one pod a step."""

    workers: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="Pods that share the chunks of one generation step (questions, instructions, answers), each with "
        "its own copy of the model. The other steps of the stage run as one pod. Changing it keeps finished artifacts.",
    )


class PodDefaults(Model):
    """Settings of all pods of the run, preflight and import included. Not part of any step's key."""

    start_deadline: Duration = Field(
        default="24h",
        description="Longest time from the creation of a step's pod until its container runs, such as 2h; time in a "
        "Kueue queue does not count. Then the run fails with reason StartDeadlineExceeded and the cause that it has "
        "reported since, and its pods are deleted. An edit starts it again.",
    )
    progress_deadline: Duration | None = Field(
        default=None,
        description="Longest time in which a running step reports no progress, such as 1h. Then its pod is deleted and "
        "the step retried, as after a crash (reason ProgressDeadlineExceeded). Unset: 6h, and no limit for steps whose "
        "progress the operator could never read from their pods.",
    )

    service_account_name: ObjectName | None = Field(
        default=None,
        description="ServiceAccount of the pods, in the run's namespace, for image pull secrets and workload identity; "
        "no API token is mounted. Unset: the namespace's default ServiceAccount.",
    )
    template: PodTemplate | None = Field(
        default=None,
        description="Partial PodTemplate (metadata, spec) laid over every pod of the run as a strategic merge patch, "
        "such as a nodeSelector or tolerations. A stage's own template is applied after it.",
    )
