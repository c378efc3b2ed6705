"""Quantisation while loading: formats that vLLM has for plain weights, and those that CPU cores cannot compute."""

from typing import get_args

import pytest

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.parameters import EngineParameters, Quantization
from selfalign_stages.engine.cpu_limits import quantization_problem
from selfalign_stages.engine.loading_errors import refuse_on_cpu

AMX = frozenset({"avx512f", "amx_tile", "amx_bf16"})
PLAIN = frozenset({"avx512f"})


def test_every_format_is_one_that_vllm_makes_of_plain_weights_in_linear_layers() -> None:
    from vllm.config.quantization import _ONLINE_SHORTHANDS

    linear = {name for name, made in _ONLINE_SHORTHANDS.items() if made.linear is not None}
    assert set(get_args(Quantization)) == linear, "vLLM has other formats now: adapt the field and cpu_limits"


@pytest.mark.parametrize(
    ("quantization", "flags", "refused"),
    [
        (None, PLAIN, None),
        ("fp8_per_channel", PLAIN, None),
        ("fp8_per_block", AMX, None),
        ("fp8_per_block", PLAIN, "cores with AMX only: remove it, or run on a GPU"),
        ("fp8_per_tensor", AMX, "on GPUs only: remove it, or run on a GPU"),
        ("mxfp8", AMX, "on GPUs only: remove it, or run on a GPU"),
        ("mxfp4", AMX, "on GPUs only: remove it, or run on a GPU"),
    ],
)
def test_cpu_cores_take_the_formats_that_vllm_has_kernels_for(
    quantization: Quantization | None, flags: frozenset[str], refused: str | None
) -> None:
    problem = quantization_problem(quantization, flags=flags)
    assert problem == refused if refused is None else problem and problem.endswith(refused)


def test_the_engine_refuses_a_format_before_it_loads_with_field_value_and_remedy() -> None:
    with pytest.raises(BadInput, match=r"^spec.engine.quantization = mxfp4: .* remove it, or run on a GPU$"):
        refuse_on_cpu(EngineParameters(quantization="mxfp4"), flags=AMX)
