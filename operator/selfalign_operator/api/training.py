"""Fine-tuning of the base model: what can be told, the presets, and their resolution into a step's parameters."""

from typing import Annotated, Any, Literal

from pydantic import Field

from selfalign_operator.api.resources import Placement
from selfalign_operator.api.validation import cel
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.parameters import TrainParameters

Preset = Literal["standard", "paper"]

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
EVERY_LINEAR = (*ATTENTION, "gate_proj", "up_proj", "down_proj")

PRESETS: dict[Preset, dict[str, Any]] = {
    "standard": {
        "method": "lora",
        "rank": 16,
        "alpha": 32,
        "dropout": 0.05,
        "targets": EVERY_LINEAR,
        "learning_rate": 2e-4,
        "epochs": 1.0,
        "global_batch_size": 128,
        "micro_batch_size": 8,
        "warmup_ratio": 0.05,
        "max_length": 1024,
        "checkpoint_steps": 50,
        "identity_repeats": 10,
    },
    # paper section 3.3 and its code: 65 B parameters, 100 of 335 steps are warm-up, 910 rows of 84 identity questions
    "paper": {
        "method": "lora",
        "rank": 16,
        "alpha": 16,
        "dropout": 0.05,
        "targets": ATTENTION,
        "learning_rate": 4e-4,
        "epochs": 1.0,
        "global_batch_size": 768,
        "micro_batch_size": 16,
        "warmup_ratio": 0.3,
        "max_length": 512,
        "checkpoint_steps": 50,
        "identity_repeats": 11,
    },
}
FULL_LEARNING_RATE = 1e-5
"""What the standard preset takes for method full, where every weight moves."""
PAPER_CLONING_MAX_LENGTH = 768


class Merge(Model):
    """How the adapter is added to the base weights."""

    dtype: Literal["bfloat16", "float16", "float32"] = Field(
        default="bfloat16", description="of the merged weights; the sum itself is done in 32 bit"
    )
    tolerance: float = Field(
        default=0.25, gt=0, description="largest allowed difference of merged and adapter log-probabilities"
    )


class Training(Placement):
    """Fine-tuning settings; what is not given comes from the preset."""

    model_config = cel(
        (
            "!has(self.globalBatchSize) || !has(self.microBatchSize) || "
            "self.globalBatchSize % (self.microBatchSize * self.nodes * self.gpusPerNode) == 0",
            "globalBatchSize must be divisible by microBatchSize x nodes x gpusPerNode",
        ),
        (
            "!has(self.method) || self.method == 'lora' || "
            "!(has(self.rank) || has(self.alpha) || has(self.dropout) || has(self.targets))",
            "rank, alpha, dropout and targets apply to method lora alone",
        ),
    )

    preset: Preset = Field(
        default="standard",
        description="standard: LoRA on all linear layers, for 1 to 8 B; paper: the published recipe, for 65 B",
    )
    method: Literal["lora", "full"] | None = Field(default=None, description="an adapter, or every weight")
    rank: Annotated[int, Field(ge=1, le=4096)] | None = Field(default=None, description="LoRA rank")
    alpha: Annotated[int, Field(ge=1, le=65_536)] | None = Field(
        default=None, description="LoRA scale: alpha / rank is applied"
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = Field(default=None, description="LoRA dropout")
    targets: (
        Annotated[tuple[Annotated[str, Field(min_length=1, max_length=128)], ...], Field(min_length=1, max_length=64)]
        | None
    ) = Field(default=None, description="linear layers that get an adapter, by name")
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = Field(default=None, description="its highest value")
    epochs: Annotated[float, Field(gt=0, le=1000)] | None = Field(default=None, description="passes over the rows")
    global_batch_size: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="rows per optimizer step: microBatchSize x accumulation x nodes x gpusPerNode"
    )
    micro_batch_size: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="rows per device and pass"
    )
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        default=None, description="part of the optimizer steps in which the learning rate rises"
    )
    max_length: Annotated[int, Field(ge=16, le=1_048_576)] | None = Field(
        default=None, description="tokens of prompt and answer together"
    )
    checkpoint_steps: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="optimizer steps between checkpoints: what a kill can cost"
    )
    identity_repeats: Annotated[int, Field(ge=0, le=10_000)] | None = Field(
        default=None, description="how often each identity row of the pack is shown"
    )
    nodes: int = Field(default=1, ge=1, le=1024, description="pods that train together; this release takes 1")
    gpus_per_node: int = Field(default=1, ge=1, le=64, description="processes in each of them; this release takes 1")
    merge: Merge = Merge()


def resolve(training: Training, *, assistant_name: str, cloning: bool) -> TrainParameters:
    """A training step's parameters: what is given, over what the preset says."""
    values = dict(PRESETS[training.preset])
    if training.preset == "paper" and cloning:
        values["max_length"] = PAPER_CLONING_MAX_LENGTH
    if training.preset == "standard" and training.method == "full":
        values["learning_rate"] = FULL_LEARNING_RATE
    given = {name: getattr(training, name) for name in values if getattr(training, name) is not None}
    return TrainParameters(assistant_name=assistant_name, **(values | given))
