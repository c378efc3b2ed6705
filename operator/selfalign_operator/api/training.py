"""Fine-tuning settings: the fields, the presets behind unset fields, and their resolution into a step's parameters.

Presets are resolved here and not by schema defaults, because a default in the CRD would be stored with the object: it
could then no longer follow `preset`, `method` or the stage, and would pass for a value that the user chose.
The sentences on unset fields in the descriptions are generated from the presets, so that they stay true.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from selfalign_operator.api.resources import Placement
from selfalign_operator.api.sources import RowSource
from selfalign_operator.api.validation import cel
from selfalign_stages.contract import rules
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.parameters import TrainParameters

Preset = Literal["standard", "paper"]
TargetModule = Annotated[
    str, Field(min_length=1, max_length=128, description="Name of a linear module, such as q_proj.")
]

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
"""Projections of the attention blocks, by their names in Hugging Face's Llama-like models."""

PRESETS: dict[Preset, dict[str, Any]] = {
    "standard": {
        "method": "lora",
        "rank": 16,
        "alpha": 32,
        "dropout": 0.05,
        "targets": None,
        "learning_rate": 2e-4,
        "epochs": 1.0,
        "global_batch_size": 128,
        "micro_batch_size": 8,
        "warmup_ratio": 0.05,
        "max_length": 1024,
        "checkpoint_steps": 50,
        "identity_repeats": 10,
        "validation_share": 0.0,
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
        "validation_share": 0.0,
    },
}
FULL_LEARNING_RATE = 1e-5
"""Learning rate of the standard preset with method full: every weight moves, so it is below an adapter's."""
PAPER_CLONING_MAX_LENGTH = 768
"""Row length of the paper preset in cloning, whose verbose answers are longer (paper section 3.4)."""


def _unset(name: str, *, exception: str = "") -> str:
    """Returns the sentence on an unset field's value by preset, as in "Unset: 32 (preset standard) or 16 (paper)."."""
    standard, paper = (_shown(PRESETS[preset][name]) for preset in ("standard", "paper"))
    values = standard if standard == paper else f"{standard} (preset standard) or {paper} (paper)"
    return f" Unset: {values}{exception}."


def _shown(value: Any) -> str:
    if isinstance(value, float) and 0 < value < 1e-3:
        return f"{value:.0e}".replace("e-0", "e-")
    if value is None:
        return "all linear layers but the output layer"
    return ", ".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)


class Merge(Model):
    """How a LoRA adapter is added to the base weights, and how close the merged model must stay to it.

    The comparison is there because rounding to 16 bits can erase an adapter without any error.
    """

    dtype: Literal["bfloat16", "float16", "float32"] = Field(
        default="bfloat16",
        description="Data type of the merged weights, and so of the image. The sum is computed in float32 and cast "
        "once.",
    )
    tolerance: float = Field(
        default=4.0,
        gt=0,
        description="Largest mean divergence (KL, nats per token of some training rows) of the saved model from base "
        "plus adapter, as a multiple of what the base model itself loses by the cast to `dtype`. A larger one fails "
        "the step (reason MergeMismatch).",
    )


class ExtraRows(RowSource):
    """File with training rows of one's own: JSON lines or Parquet with `prompt` or `instruction`, and
    `answer` or `response`. `input` is what a prompt applies to; other columns are ignored.
    """

    share: float = Field(
        gt=0,
        lt=1,
        description="Fraction of the training rows (answers and extra rows; identity rows do not count) that this file "
        "makes up at most. Of more rows the seed chooses, and the others are rejected as over-share; fewer are all "
        "taken. All shares of a training add up to less than 1.",
    )


class Training(Placement):
    """Supervised fine-tuning of the base model on generated answers, with loss on the answers only (paper section 3.3).

    Unset fields take the value of `preset`.
    """

    model_config = cel(
        (
            "!has(self.globalBatchSize) || !has(self.microBatchSize) || "
            "self.globalBatchSize % (self.microBatchSize * self.nodes * self.gpusPerNode) == 0",
            rules.BATCH_NOT_DIVISIBLE,
        ),
        (
            "!has(self.method) || self.method == 'lora' || "
            f"!({' || '.join(f'has(self.{name})' for name in rules.LORA_FIELDS)})",
            rules.LORA_FIELDS_NEED_LORA,
        ),
        (
            # A default of the whole training is checked before the defaults of its fields are filled in.
            f"!has(self.extraRows) || self.extraRows.map(file, file.share).sum() <= {rules.EXTRA_SHARES_LIMIT}",
            rules.EXTRA_SHARES_LEAVE_NOTHING,
        ),
    )

    preset: Preset = Field(
        default="standard",
        description="Values of unset fields. standard: LoRA on all linear layers, for models of 1 to 8 billion "
        "parameters; paper: the published recipe for 65 billion, LoRA on attention only.",
    )
    method: Literal["lora", "full"] | None = Field(
        default=None,
        description="Weights that are trained: lora, a low-rank adapter, or full, all of them." + _unset("method"),
    )
    rank: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        default=None, description="Rank of the LoRA matrices. Method lora only." + _unset("rank")
    )
    alpha: Annotated[int, Field(ge=1, le=65_536)] | None = Field(
        default=None,
        description="LoRA scaling: the adapter's output is multiplied by alpha / rank. Method lora only."
        + _unset("alpha"),
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        default=None,
        description="Dropout probability of the adapter's input in training. Method lora only." + _unset("dropout"),
    )
    targets: Annotated[tuple[TargetModule, ...], Field(min_length=1, max_length=64)] | None = Field(
        default=None,
        description="Linear modules that get an adapter, by the last part of their name (target_modules in PEFT). "
        "Method lora only." + _unset("targets"),
    )
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="Peak learning rate of AdamW, reached after warm-up, then decayed linearly to zero."
        + _unset("learning_rate", exception=f"; {_shown(FULL_LEARNING_RATE)} with preset standard and method full"),
    )
    epochs: Annotated[float, Field(gt=0, le=1000)] | None = Field(
        default=None,
        description="Passes over the training rows; a fraction trains on part of them." + _unset("epochs"),
    )
    global_batch_size: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None,
        description="Rows per optimizer step over all processes, reached by gradient accumulation. Must be divisible "
        "by microBatchSize x nodes x gpusPerNode." + _unset("global_batch_size"),
    )
    micro_batch_size: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None,
        description="Rows per process in one forward and backward pass. Lower it if memory runs out; globalBatchSize "
        "stays." + _unset("micro_batch_size"),
    )
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        default=None,
        description="Fraction of the optimizer steps in which the learning rate rises linearly from zero."
        + _unset("warmup_ratio"),
    )
    max_length: Annotated[int, Field(ge=16, le=1_048_576)] | None = Field(
        default=None,
        description="Longest training row in tokens, prompt and answer together, with the thought where it is trained "
        "on. Longer rows are left out and counted as too-long."
        + _unset("max_length", exception=f"; {PAPER_CLONING_MAX_LENGTH} with preset paper in cloning"),
    )
    checkpoint_steps: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None,
        description="Optimizer steps between checkpoints in the artifact store: what a killed pod loses at most."
        + _unset("checkpoint_steps"),
    )
    identity_repeats: Annotated[int, Field(ge=0, le=10_000)] | None = Field(
        default=None,
        description="Copies of each identity question of the principle pack among the training rows; they teach the "
        "assistant its name." + _unset("identity_repeats"),
    )
    validation_share: Annotated[float, Field(ge=0, le=0.5)] | None = Field(
        default=None,
        description="Fraction of the answered prompts, 0 to 0.5, that training leaves out (counted as validation). The "
        "mean loss at the tokens of their answers is measured before the first step, at every checkpoint and at the "
        "end (validationLoss in progress and in loss.jsonl); where it rises while the loss falls, the model learns "
        "rows by heart. 0 trains on all prompts." + _unset("validation_share"),
    )
    extra_rows: tuple[ExtraRows, ...] = Field(
        default=(),
        max_length=4,
        description="Files with training rows of one's own, mixed among the answers. Rows that are longer than "
        "maxLength, or whose prompt has a ROUGE-L above 0.7 to a question of an evaluation suite (contamination), are "
        "rejected. A change of a file, or of a suite beside one, trains again. Empty: answers and identity rows alone.",
    )
    nodes: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Pods that train together. Clusters accept only 1 in this release; one machine ignores it.",
    )
    gpus_per_node: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Training processes per pod, one GPU each. Clusters accept only 1 in this release; one machine "
        "ignores it.",
    )
    merge: Merge = Field(
        default=Merge(),
        description="How the adapter is merged into the base weights after training, in a step of its own: a change "
        "here does not train again.",
    )


class Engraving(Training):
    """Stage 3, principle engraving (paper section 3.3): the base model is fine-tuned on its own answers."""

    thoughts: bool = Field(
        default=False,
        description="Whether the engraved model learns to think as well: each answer is trained on with its thought "
        "before it, as <think>, thought, </think>, blank line, answer. Rows without a thought, such as identity rows, "
        "get an empty one; of extraRows, answers that begin with one in this form keep it, and rows with such tags "
        "elsewhere are left out and counted as think-tag. Needs thoughts in selfAlign. Evaluation and cloning drop the "
        "thought, which counts towards their maxTokens and the metric tokens; the cloned model has none. false: "
        "answers alone, as in the paper.",
    )


def resolve(training: Training, *, assistant_name: str, cloning: bool, thoughts: bool = False) -> TrainParameters:
    """Returns the parameters of a training step: the fields that are set, over the values of the preset.

    Args:
        training: the stage's settings.
        assistant_name: the name in the training texts' headings; it is a field of the run, not of the stage.
        cloning: whether the step trains the cloned model, which the paper preset gives longer rows.
        thoughts: whether thoughts are trained on, which is a field of engraving alone.
    """
    values = dict(PRESETS[training.preset])
    if training.preset == "paper" and cloning:
        values["max_length"] = PAPER_CLONING_MAX_LENGTH
    if training.preset == "standard" and training.method == "full":
        values["learning_rate"] = FULL_LEARNING_RATE
    chosen = {name: getattr(training, name) for name in values if getattr(training, name) is not None}
    resolved = values | chosen
    # Left out where it is 0, so that it is in no key: what was trained before this field existed is not trained again.
    resolved["validation_share"] = resolved["validation_share"] or None
    shares = tuple(file.share for file in training.extra_rows) or None
    return TrainParameters(assistant_name=assistant_name, extra_rows=shares, thoughts=thoughts, **resolved)
