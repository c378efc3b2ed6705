"""Settings of the inference engine (vLLM) in all steps that generate or score.

What changes the output enters the keys of those steps, what only decides whether it fits or how fast it runs does not.
Each field is chosen; there is no way to pass any argument, because some of vLLM's run code of the model's repository.
"""

from typing import Annotated, Literal

from pydantic import Field

from selfalign_operator.api.validation import cel
from selfalign_stages.contract import rules
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.parameters import DEFAULT_CONTEXT, Quantization


class EngineSettings(Model):
    """Inference engine of the steps that generate rows or score variants."""

    model_config = cel(("!has(self.quantization) || self.dtype != 'float32'", rules.QUANTIZATION_NEEDS_16_BITS))

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
