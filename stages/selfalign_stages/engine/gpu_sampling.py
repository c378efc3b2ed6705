"""Whether vLLM draws with FlashInfer's kernels on a GPU, which filter by top-p and top-k fastest, and if not, why.

vLLM decides by itself, at load and at every step (`flashinfer_sampler_supported` in vllm/v1/sample/ops and `sample` in
vllm/v1/worker/gpu/sample/sampler.py), and says so at a log level that steps leave out. Two of its conditions, more than
16 multiprocessors and a compiler for the device, are left out here: asking needs a CUDA context in this process, which
takes memory from the engine's. Pure but for `device_facts`.
"""

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from selfalign_stages.engine.interface import Decoding

SWITCH = "VLLM_USE_FLASHINFER_SAMPLER"
"""Variable by which vLLM leaves FlashInfer out; 0 is off."""
LEAST_CAPABILITY, HIGHEST_CAPABILITY = (8, 0), (12, 1)
"""Compute capabilities for which vLLM 0.32 uses FlashInfer (`FlashInferBackend.supports_compute_capability`)."""


@dataclass(frozen=True)
class DeviceFacts:
    """What decides about FlashInfer on a CUDA device.

    Attributes:
        installed: whether the package flashinfer is there.
        switched_on: whether SWITCH leaves it on.
        capability: compute capability, major and minor.
        triton: whether Triton is there, whose kernels vLLM falls back to.
    """

    installed: bool
    switched_on: bool
    capability: tuple[int, int]
    triton: bool


def is_installed(package: str) -> bool:
    """Whether a package can be imported; it is not, because FlashInfer's import initialises CUDA."""
    return importlib.util.find_spec(package) is not None


def lost_sampler(decoding: Decoding, device: DeviceFacts, *, seeded: bool = True) -> str | None:
    """Explains why FlashInfer does not filter the tokens of a stream; None if it does, or nothing is to filter.

    Args:
        decoding: of the stream.
        device: of the engine.
        seeded: whether the requests carry seeds of their own, as all do that steps send.

    Returns:
        All reasons, because none of them alone is worth mending, what happens instead, and the remedy.
    """
    filters = decoding.temperature > 0 and (decoding.top_p < 1 or decoding.top_k > 0)
    reasons = list(_reasons(device, seeded=seeded)) if filters else []
    if not reasons:
        return None
    instead = "Triton's kernels filter instead" if device.triton else "the whole vocabulary is sorted for every token"
    install = "" if device.triton else "install triton; "
    return (
        f"vLLM filters by topP and topK without FlashInfer, its fastest way: {'; '.join(reasons)}. {instead}. Where "
        f"sampling limits the speed: {install}set topP to 1, topK to 0 and a minP, which needs neither"
    )


def _reasons(device: DeviceFacts, *, seeded: bool) -> Iterator[str]:
    if seeded:
        yield "each request has a seed of its own, so that a rerun draws the same"
    if not device.installed:
        yield "the package flashinfer-python is not installed"
    elif not device.switched_on:
        yield f"{SWITCH} is 0"
    if not LEAST_CAPABILITY <= device.capability <= HIGHEST_CAPABILITY:
        own, least, highest = (
            ".".join(map(str, one)) for one in (device.capability, LEAST_CAPABILITY, HIGHEST_CAPABILITY)
        )
        yield f"the GPU's compute capability {own} is not within {least} and {highest}"


def device_facts(platform: Any) -> DeviceFacts | None:
    """Asks vLLM about its device.

    Args:
        platform: `vllm.platforms.current_platform`.

    Returns:
        None on anything but CUDA, where vLLM has no choice to make.
    """
    if not platform.is_cuda():
        return None
    capability = platform.get_device_capability()
    return DeviceFacts(
        installed=is_installed("flashinfer"),
        switched_on=os.environ.get(SWITCH, "1") != "0",
        capability=(capability.major, capability.minor),
        triton=is_installed("triton"),
    )
