"""Where and how large a stage's pods are. Nothing here enters a key: moving a stage never retrains."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from selfalign_operator.api.quantity import parse_quantity
from selfalign_operator.api.values import ObjectName, Quantity
from selfalign_stages.contract.model import Model

PodTemplate = Annotated[
    dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
]


class Resources(Model):
    """Requests and limits of a stage's container, as in a pod."""

    requests: dict[str, Quantity] = Field(default={}, description="what a pod is promised, such as memory: 40Gi")
    limits: dict[str, Quantity] = Field(default={}, description="what a pod may use, such as nvidia.com/gpu: 1")


class Placement(Model):
    """What every stage says about its pods."""

    workers: int = Field(default=1, ge=1, le=1000, description="pods that share the chunks of a generation step")
    resources: Resources | None = None
    template: PodTemplate | None = Field(default=None, description="overlay on the stage's pod template")


class PodDefaults(Model):
    """What all pods of the run have in common."""

    service_account_name: ObjectName | None = None
    template: PodTemplate | None = Field(default=None, description="overlay on every pod template of the run")


def gpus(limits: Mapping[str, object]) -> int:
    """Number of devices that a container's limits ask for."""
    return sum(int(parse_quantity(str(size))) for name, size in limits.items() if is_device(name))


def is_device(name: str) -> bool:
    """Whether a resource name is an extended resource, such as nvidia.com/gpu: those have a domain prefix."""
    return "/" in name
