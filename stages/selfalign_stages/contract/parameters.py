"""The resolved parameters of every step kind: all that its output depends on besides inputs, leaves and seed.

Whatever stands here enters the step's key. Placement, worker count and resources never do.
"""

from typing import Literal

from pydantic import Field

from selfalign_stages.contract.model import Model

Variant = Literal["base", "prompted", "engraved", "cloned"]


class Sampling(Model):
    """Decoding settings of one generation step."""

    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=0.98, gt=0, le=1)
    max_tokens: int = Field(default=256, ge=1, description="new tokens per completion")


class ImportParameters(Model):
    """Copies the base model into the store; the source itself is the leaf `baseModel`."""


class TopicsParameters(Model):
    """Names topics for every question type (paper section 3.1, topic-guided red-teaming)."""

    topics_per_type: int = Field(ge=1)
    rounds: int = Field(ge=1)
    sampling: Sampling
    deterministic: bool = False


class QuestionsParameters(Model):
    """Asks questions of every type about every topic."""

    questions_per_topic: int = Field(ge=1)
    sampling: Sampling
    deterministic: bool = False


class InstructionsParameters(Model):
    """General self-instruct: new tasks from seed tasks and, after round one, machine-made ones."""

    instructions: int = Field(ge=1, description="tasks wanted before global dedup")
    rounds: int = Field(ge=1)
    seed_demos: int = Field(default=6, ge=1)
    machine_demos: int = Field(default=2, ge=0)
    dedup_rouge_l: float = Field(ge=0, le=1)
    sampling: Sampling
    deterministic: bool = False


class PromptsParameters(Model):
    """Merges, filters and deduplicates questions and instructions; removes evaluation items."""

    prompts: int = Field(ge=1, description="upper limit of prompts kept")
    dedup_rouge_l: float = Field(ge=0, le=1)
    decontaminate: bool


class AnswersParameters(Model):
    """Principle-driven self-alignment: thought and answer by the prompted base model (paper section 3.2)."""

    assistant_name: str
    sampling: Sampling
    chunk_size: int = Field(default=256, ge=1, description="records per commit")
    deterministic: bool = False
    max_reject_ratio: float = Field(default=0.95, ge=0, le=1)


class VerboseAnswersParameters(Model):
    """Verbose cloning, first half: the engraved teacher answers under the verbose prompt (paper section 3.4)."""

    assistant_name: str
    sampling: Sampling
    chunk_size: int = Field(default=256, ge=1)
    deterministic: bool = False
    max_reject_ratio: float = Field(default=0.95, ge=0, le=1)


class TrainParameters(Model):
    """Fine-tunes the BASE model on answers without principles, exemplars and thoughts (paper section 3.3)."""

    assistant_name: str
    method: Literal["lora", "full"]
    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=16, ge=1)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    learning_rate: float = Field(gt=0)
    epochs: float = Field(gt=0)
    global_batch_size: int = Field(ge=1)
    micro_batch_size: int = Field(ge=1)
    warmup_ratio: float = Field(ge=0, lt=1)
    max_length: int = Field(ge=16, description="tokens of prompt and answer together")
    checkpoint_steps: int = Field(ge=1, description="optimizer steps between checkpoints")
    identity_repeats: int = Field(ge=0, description="how often each identity row of the pack is shown")


class MergeParameters(Model):
    """Adds the adapter to the base weights; a fully fine-tuned model is passed through."""

    dtype: Literal["bfloat16", "float16", "float32"]
    tolerance: float = Field(gt=0, description="largest allowed difference of merged and adapter log-probabilities")


class SuiteParameters(Model):
    """An evaluation suite; its content is the leaf `suite:NAME`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    format: Literal["hhh", "truthfulqa", "adherence"]


class ScoreParameters(Model):
    """Runs the suites on one model variant. `prompted` is the base model under principles and exemplars."""

    variant: Variant
    assistant_name: str
    suites: tuple[SuiteParameters, ...]
    sampling: Sampling


class GateParameters(Model):
    """Compares the variants, with paired bootstrap intervals, and checks the gates."""

    gates: tuple[str, ...]
    bootstrap_samples: int = Field(default=2000, ge=100)
    confidence: float = Field(default=0.95, gt=0, lt=1)


class ImageParameters(Model):
    """Packs the chosen model as an OCI image."""

    assistant_name: str
    repository: str
    tag: str
    variant: Literal["engraved", "cloned"]
    model_license: str


class PushParameters(Model):
    """Takes the packed image to a registry. `base` is the image with a server that format server joins."""

    repository: str
    tag: str
    promote_to: str | None = None
    formats: tuple[Literal["server", "modelcar"], ...]
    base: str | None = None
    served_name: str
    plain_http: bool = False
