"""Settings of the inference engine (vLLM) in all steps that generate or score.

What changes the output enters the keys of those steps, what only decides whether it fits or how fast it runs does not.
Each field is chosen; there is no way to pass any argument, because some of vLLM's run code of the model's repository
(trust_remote_code, tokenizer_mode, load_format, hf_overrides, plugins).
"""

from typing import Annotated, Literal

from pydantic import Field

from selfalign_operator.api.validation import cel
from selfalign_stages.contract import rules
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.parameters import DEFAULT_CONTEXT, Quantization


class EngineArguments(Model):
    """Arguments of vLLM that decide whether a model fits and how fast it runs. None of them is part of a key."""

    kv_cache_gib: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None,
        description="Memory of the key-value cache on each GPU, or on the CPU, in GiB. More holds more completions at "
        "the same time. Unset: on a GPU what gpuMemoryUtilization leaves beside the weights; on the CPU 1.",
    )
    max_batched_tokens: Annotated[int, Field(ge=256, le=10_000_000)] | None = Field(
        default=None,
        description="Tokens that one step of the scheduler computes at most. More reads long prompts faster, and takes "
        "more memory for activations. On the CPU it is raised to the context window, because a prompt is computed "
        "whole there. Unset: vLLM's own choice; 4096 on the CPU.",
    )
    block_size: Annotated[int, Field(ge=32, le=256, multiple_of=32)] | None = Field(
        default=None,
        description="Tokens of a block of the key-value cache, a multiple of 32. Only whole blocks of a common prefix "
        "are shared between prompts, so smaller ones share more. Unset: vLLM's own choice; 32 on the CPU.",
    )
    cpu_offload_gib: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="Weights of each GPU that stay in main memory, in GiB, for a model that is larger than the GPU. "
        "They cross the bus at every step, which is many times slower. Without effect on CPUs.",
    )
    enforce_eager: bool = Field(
        default=False,
        description="Whether a GPU works without compiled kernels and CUDA graphs: the engine starts a minute or more "
        "earlier and takes less memory, each step is slower. Worth it for short runs. CPUs always work so.",
    )
    pipeline_parallel: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Groups of a pod's GPUs that have a part of the layers each; within a group every layer is "
        "divided. Set it where the number of GPUs does not divide the model's attention heads. It must divide the "
        "number of GPUs. Without effect on CPUs.",
    )


class EngineSettings(Model):
    """Inference engine of the steps that generate rows or score variants."""

    model_config = cel(
        ("!has(self.quantization) || self.dtype != 'float32'", rules.QUANTIZATION_NEEDS_16_BITS),
        (
            "!has(self.maxSequences) || !has(self.arguments.maxBatchedTokens) || "
            "self.arguments.maxBatchedTokens >= self.maxSequences",
            rules.A_TOKEN_FOR_EACH_SEQUENCE,
        ),
    )

    context_length: Annotated[int, Field(ge=256, le=10_000_000)] | None = Field(
        default=None,
        description="Tokens of the context window, prompt and completion together; memory for the key-value cache "
        f"grows with it. Part of the keys. Unset: the base model's context, {DEFAULT_CONTEXT} at most.",
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        default="auto",
        description="Data type of weights and activations. auto: that of the model's files; float32 on CPU cores "
        "without bfloat16 instructions, where it is several times as fast. Part of the keys.",
    )
    quantization: Quantization | None = Field(
        default=None,
        description="Format that the weights of linear layers are rounded to while they are loaded, for less memory "
        "and faster steps at some loss of quality: 8 bits (fp8_per_tensor, fp8_per_channel and fp8_per_block by the "
        "share of a matrix that has one scale; mxfp8: 32 weights) or 4 bits (mxfp4). Training, merging and the image "
        "keep the full weights. fp8_per_channel needs GPUs of compute capability 8.9. On CPUs fp8_per_channel works, "
        "fp8_per_block needs AMX, and the others are refused. Part of the keys. Unset: as in the model's files.",
    )
    kv_cache_dtype: Literal["fp8", "fp8_e5m2"] | None = Field(
        default=None,
        description="Data type of the key-value cache. fp8 (4 bits of exponent) and fp8_e5m2 (5 bits, less precise) "
        "hold twice as many completions as 16 bits, at some loss of quality. Part of the keys. Unset: that of the "
        "activations.",
    )
    gpu_memory_utilization: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="Fraction of each GPU's memory for weights and key-value cache. Lower it where another process "
        "shares the GPU. Not part of any key, and without effect on CPUs.",
    )
    max_sequences: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None,
        description="Completions that are computed at the same time at most. Lower it if memory runs out. Not part of "
        "any key. Unset: vLLM's own choice.",
    )
    arguments: EngineArguments = Field(
        default=EngineArguments(),
        description="Further arguments of vLLM, about memory and speed. Not part of any key.",
    )
