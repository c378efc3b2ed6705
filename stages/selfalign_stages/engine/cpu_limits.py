"""What vLLM's CPU build refuses, or cannot compute on these cores, by the manifest's field. Pure but for `core_flags`.

vLLM itself finds out while it loads the model, and names none of our fields. Preflight asks here where it runs on the
machine of the steps, and the engine asks before it loads anything.
"""

from pathlib import Path

from selfalign_stages.contract.parameters import Quantization

CPUINFO = Path("/proc/cpuinfo")
"""Linux' description of the cores, with the names of their instructions."""
QUANTIZATION = "spec.engine.quantization"
REMEDY = "remove it, or run on a GPU"
NEEDED_INSTRUCTIONS: dict[Quantization, str] = {"fp8_per_block": "amx_tile"}
"""Names in CPUINFO of what the only kernels for a format are written in; fp8_per_channel has one by torch."""
NO_KERNEL: frozenset[Quantization] = frozenset({"fp8_per_tensor", "mxfp8", "mxfp4"})
"""Formats that the CPU build has no kernel for (vllm.model_executor.kernels.linear), or, fp8_per_tensor, none to round
the weights (its `static_scaled_fp8_quant` takes no arguments)."""


def quantization_problem(quantization: Quantization | None, *, flags: frozenset[str]) -> str | None:
    """Describes why the CPU build cannot load a model in a format; None if it can.

    Args:
        quantization: format of the linear layers; None leaves them as they are.
        flags: instructions of the cores, see `core_flags`.

    Returns:
        What is wrong and how to correct it, to go after field and value.
    """
    if quantization in NO_KERNEL:
        return f"vLLM computes it on GPUs only: {REMEDY}"
    needed = NEEDED_INSTRUCTIONS.get(quantization) if quantization else None
    if needed and needed not in flags:
        return f"vLLM computes it on CPU cores with {needed.partition('_')[0].upper()} only: {REMEDY}"
    return None


def core_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """Returns the names of the cores' instructions as Linux has them, such as avx512_bf16; on Arm bf16."""
    lines = cpuinfo.read_text().splitlines()
    found = (line.partition(":")[2] for line in lines if line.lower().startswith(("flags", "features")))
    return frozenset(next(found, "").split())
