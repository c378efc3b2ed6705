"""Which extended resources are GPUs, and how many of them a container has. Pure.

Everything with a domain prefix is an extended resource: GPUs, but also network devices (vpc.amazonaws.com/efa,
rdma/hca_shared_devices_a) and shares of one GPU's memory or cores (nvidia.com/gpumem: 3000). Adding all of them up made
one GPU 3,002. So GPUs are listed by name; the chart value `gpuResources` is that list.
"""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from selfalign_operator.api.quantity import parse_quantity

GPU_RESOURCES = (
    "nvidia.com/gpu",
    "nvidia.com/gpu.shared",
    "nvidia.com/mig-*",
    "amd.com/gpu",
    "gpu.intel.com/i915",
    "gpu.intel.com/xe",
    "habana.ai/gaudi",
)
"""Names that the device plugins of NVIDIA, AMD and Intel give to GPUs; `*` stands for any text (MIG profiles). A MIG
instance and a time-sliced share count as one GPU each."""
WHOLE_PATTERN = r"^[0-9]{1,19}(k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+]?[0-9]{1,2})?$"
"""Quantities that are written as a whole number. Kubernetes refuses parts of an extended resource when a pod is
created (core/v1 validation), which would be days after `kubectl apply`."""


def gpus(limits: Mapping[str, object], names: Sequence[str] = GPU_RESOURCES) -> int:
    """Counts the GPUs among a container's limits.

    Args:
        limits: quantities by resource name. Of a pod that a cluster admitted they are whole numbers; parts of a device
            are rounded down.
        names: resource names of GPUs, in which `*` stands for any text.

    Raises:
        ValueError: the value of a GPU is no quantity.
    """
    return sum(int(parse_quantity(str(size))) for name, size in limits.items() if is_gpu(name, names))


def is_gpu(resource: str, names: Sequence[str]) -> bool:
    """Returns whether a resource is one of the listed GPUs; `*` in a name stands for any text."""
    return any(fnmatchcase(resource, pattern) for pattern in names)


def is_device(name: str) -> bool:
    """Returns whether a resource is an extended one, GPU or not: only those have a domain prefix."""
    return "/" in name


def is_whole(quantity: str | int) -> bool:
    """Returns whether a quantity is written as a whole number of devices: 8, "8", 1k or 1e1, not 500m or 1.5."""
    return isinstance(quantity, int) or re.fullmatch(WHOLE_PATTERN, quantity) is not None
