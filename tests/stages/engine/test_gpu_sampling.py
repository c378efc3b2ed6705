"""On a GPU the log says once why vLLM's fastest sampler is not used; on a CPU it says nothing."""

import ast
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from selfalign_stages.engine.gpu_sampling import (
    HIGHEST_CAPABILITY,
    LEAST_CAPABILITY,
    DeviceFacts,
    device_facts,
    lost_sampler,
)
from selfalign_stages.engine.interface import Decoding

HOPPER = DeviceFacts(installed=True, switched_on=True, capability=(9, 0), triton=True)
NUCLEUS = Decoding(temperature=0.7, top_p=0.9, max_tokens=8)


def test_nothing_is_lost_where_flashinfer_filters() -> None:
    assert lost_sampler(NUCLEUS, HOPPER, seeded=False) is None


@pytest.mark.parametrize(
    "decoding",
    [
        replace(NUCLEUS, temperature=0.0),
        replace(NUCLEUS, top_p=1.0),
        replace(NUCLEUS, top_p=1.0, min_p=0.1),  # the remedy
    ],
)
def test_nothing_is_lost_where_there_is_nothing_to_filter(decoding: Decoding) -> None:
    assert lost_sampler(decoding, replace(HOPPER, installed=False)) is None


@pytest.mark.parametrize(
    ("device", "seeded", "reason"),
    [
        (HOPPER, True, "each request has a seed of its own"),
        (replace(HOPPER, installed=False), False, "flashinfer-python is not installed"),
        (replace(HOPPER, switched_on=False), False, "VLLM_USE_FLASHINFER_SAMPLER is 0"),
        (replace(HOPPER, capability=(7, 5)), False, "compute capability 7.5 is not within 8.0 and 12.1"),
        (replace(HOPPER, capability=(13, 0)), False, "compute capability 13.0 is not within 8.0 and 12.1"),
    ],
)
def test_each_reason_is_named_with_the_remedy(device: DeviceFacts, seeded: bool, reason: str) -> None:
    line = lost_sampler(replace(NUCLEUS, top_p=1.0, top_k=40), device, seeded=seeded)
    assert line and reason in line and "Triton's kernels filter instead" in line
    assert line.endswith("set topP to 1, topK to 0 and a minP, which needs neither")


def test_all_reasons_are_named_because_mending_one_changes_nothing() -> None:
    line = lost_sampler(NUCLEUS, DeviceFacts(installed=False, switched_on=False, capability=(7, 0), triton=False))
    assert line and all(word in line for word in ("seed", "not installed", "7.0", "vocabulary is sorted", "triton;"))


def test_only_cuda_has_a_choice() -> None:
    assert device_facts(SimpleNamespace(is_cuda=lambda: False)) is None
    hopper = SimpleNamespace(is_cuda=lambda: True, get_device_capability=lambda: SimpleNamespace(major=9, minor=0))
    facts = device_facts(hopper)
    assert facts is not None and facts.capability == (9, 0)


def test_the_capabilities_are_those_of_the_installed_vllm() -> None:
    spec = find_spec("vllm")
    assert spec is not None and spec.origin is not None
    source = (Path(spec.origin).parent / "v1/attention/backends/flashinfer.py").read_text()
    (backend,) = (n for n in ast.walk(ast.parse(source)) if getattr(n, "name", "") == "FlashInferBackend")
    (method,) = (n for n in ast.walk(backend) if getattr(n, "name", "") == "supports_compute_capability")
    named = [
        tuple(argument.value for argument in call.args if isinstance(argument, ast.Constant))
        for call in ast.walk(method)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "DeviceCapability"
    ]
    assert named == [LEAST_CAPABILITY, HIGHEST_CAPABILITY]
