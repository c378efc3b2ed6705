"""The resolved parameters of every step kind: all that its output depends on besides inputs, leaves and seed.

Whatever stands here enters the step's key. Placement, worker count and resources never do.
"""

from typing import Literal

from pydantic import Field

from selfalign_stages.contract.model import Model

Variant = Literal["base", "prompted", "engraved", "cloned"]
Thought = Literal["none", "free", "constrained"]
"""How the base model thinks before it answers: not at all, in free text, or under a grammar."""
Quantization = Literal["fp8_per_tensor", "fp8_per_channel", "fp8_per_block", "mxfp8", "mxfp4"]
"""Names of vLLM for formats that it rounds linear layers to while it loads weights of 16 or 32 bits. Its others need a
calibrated checkpoint, or leave all but mixtures of experts as they are."""
SuiteFormat = Literal["hhh", "truthfulqa", "adherence", "limits"]
"""File format of an evaluation suite, and with it the scoring method."""
DETERMINISTIC = "Whether each chunk is generated alone from an empty prefix cache, so that a rerun gives equal bytes."
DEFAULT_CONTEXT = 8192
"""Tokens of the context window unless it is chosen. With all of a model's 131,072 an 8 B model reserves 16 GiB for the
key-value cache of one sequence, while the longest prompt of this method has some 2,000 tokens."""
ENGINE = "Settings of the inference engine that change its output."
TOP_K = "Number of most probable tokens that one is drawn from, before top-p. 0: all."
MIN_P = (
    "Least probability of a token, as a fraction of that of the most probable one, before top-k and top-p. It drops "
    "the tail where the model is sure, and keeps variety where it is not. 0: off."
)
ASSISTANT_NAME = "Name that fills {assistantName} in the pack and heads the assistant's turns."


THOUGHTS = "Whether the model was trained to write a thought in <think> tags before every answer."


def _is_off(value: float) -> bool:
    """Leaves a setting that does nothing out of JSON, and so out of the keys of steps that ran before it existed."""
    return value == 0


class Sampling(Model):
    """Decoding settings of one generation step. Filters apply in the order temperature, min-p, top-k, top-p."""

    temperature: float = Field(default=1.0, ge=0, le=2, description="Sampling temperature; 0 is greedy decoding.")
    top_p: float = Field(default=0.98, gt=0, le=1, description="Nucleus sampling mass (top-p).")
    top_k: int = Field(default=0, ge=0, le=1_000_000, exclude_if=_is_off, description=TOP_K)
    min_p: float = Field(default=0.0, ge=0, le=1, exclude_if=_is_off, description=MIN_P)
    max_tokens: int = Field(default=256, ge=1, description="Maximum number of new tokens per completion.")


class EngineParameters(Model):
    """What the inference engine computes with, as far as it changes what comes out."""

    context_length: int | None = Field(
        default=None, ge=256, description=f"Context window in tokens; none: the model's, {DEFAULT_CONTEXT} at most."
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        default="auto", description="Data type of weights and activations; auto: see `vllm_arguments.dtype_on`."
    )
    quantization: Quantization | None = Field(
        default=None, description="Format that linear layers are rounded to as they are loaded; none: as in the files."
    )
    kv_cache_dtype: Literal["fp8", "fp8_e5m2"] | None = Field(
        default=None, description="Data type of keys and values in the cache; none: that of the activations."
    )

    def context(self, of_model: int | None) -> int | None:
        """Returns the context window over a model whose own is `of_model` (None: not stated)."""
        chosen = self.context_length or DEFAULT_CONTEXT
        return self.context_length if of_model is None else min(chosen, of_model)


class EngineArguments(Model):
    """How the engine uses its device. Not part of any key: the output does not depend on it."""

    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1, description="Fraction of each GPU's memory.")
    max_sequences: int | None = Field(
        default=None, ge=1, description="Completions at the same time; none: vLLM's choice."
    )
    kv_cache_gib: int | None = Field(
        default=None,
        ge=1,
        description="Memory of the key-value cache on each device, in GiB; none: see `vllm_arguments`.",
    )
    max_batched_tokens: int | None = Field(
        default=None, ge=1, description="Tokens of one scheduler step; none: vLLM's choice."
    )
    block_size: int | None = Field(
        default=None, ge=32, description="Tokens of a block of the key-value cache; none: vLLM's choice, 32 on CPU."
    )
    cpu_offload_gib: int = Field(default=0, ge=0, description="Weights of each GPU that stay in main memory, in GiB.")
    enforce_eager: bool = Field(default=False, description="Whether a GPU works without compilation and CUDA graphs.")
    pipeline_parallel: int = Field(default=1, ge=1, description="Groups of the pod's GPUs with a part of the layers.")


class ImportParameters(Model):
    """Copies the base model into the store; the source itself is the leaf `baseModel`."""


class TopicsParameters(Model):
    """Names topics for every question type (paper section 3.1, topic-guided red-teaming)."""

    engine: EngineParameters = Field(default=EngineParameters(), description=ENGINE)
    topics_per_type: int = Field(ge=1, description="Maximum number of topics per question type, seeds included.")
    rounds: int = Field(ge=1, description="Rounds of generation; each shows topics of the rounds before it.")
    sampling: Sampling = Field(description="Decoding settings of the step.")
    deterministic: bool = Field(default=False, description=DETERMINISTIC)


class QuestionsParameters(Model):
    """Asks questions of every type about every topic."""

    engine: EngineParameters = Field(default=EngineParameters(), description=ENGINE)
    questions_per_topic: int = Field(ge=1, description="Questions generated per pair of question type and topic.")
    sampling: Sampling = Field(description="Decoding settings of the step.")
    deterministic: bool = Field(default=False, description=DETERMINISTIC)


class InstructionsParameters(Model):
    """General self-instruct: new tasks from seed tasks and, after round one, machine-made ones."""

    engine: EngineParameters = Field(default=EngineParameters(), description=ENGINE)
    instructions: int = Field(ge=1, description="Number of tasks to keep, before deduplication across both branches.")
    rounds: int = Field(ge=1, description="Rounds of generation; each demonstrates tasks of the rounds before it.")
    seed_demos: int = Field(default=6, ge=1, description="Seed tasks among the demonstrations of a prompt.")
    machine_demos: int = Field(default=2, ge=0, description="Generated tasks among the demonstrations of a prompt.")
    dedup_rouge_l: float = Field(ge=0, le=1, description="ROUGE-L F-measure above which a text is a near-duplicate.")
    sampling: Sampling = Field(description="Decoding settings of the step.")
    deterministic: bool = Field(default=False, description=DETERMINISTIC)


class PromptsParameters(Model):
    """Merges, filters and deduplicates questions, instructions and prompts of one's own; removes evaluation items."""

    prompts: int = Field(ge=1, description="Maximum number of prompts kept.")
    dedup_rouge_l: float = Field(ge=0, le=1, description="ROUGE-L F-measure above which a text is a near-duplicate.")
    decontaminate: bool = Field(description="Whether prompts close to evaluation questions are rejected.")
    own_prompts: tuple[int, ...] | None = Field(
        default=None,
        description="Most prompts kept of each file of one's own, the leaves `promptSource:N`, by their number; None "
        "without such files.",
    )


class AnswersParameters(Model):
    """Principle-driven self-alignment: thought and answer by the prompted base model (paper section 3.2)."""

    engine: EngineParameters = Field(default=EngineParameters(), description=ENGINE)
    assistant_name: str = Field(description=ASSISTANT_NAME)
    sampling: Sampling = Field(description="Decoding settings of the answers.")
    thought: Thought | None = Field(
        default=None, description="How the model thinks; None: free if the pack has thoughts, else none."
    )
    samples: int = Field(default=1, ge=1, le=64, description="Answers generated per prompt; agreement selects one.")
    attempts: int = Field(
        default=1,
        ge=1,
        le=16,
        exclude_if=lambda attempts: attempts == 1,
        description="Generations of a prompt whose answer is rejected, the first one included.",
    )
    limit_share: float | None = Field(
        default=None, ge=0, lt=1, description="Largest fraction of kept answers that decline or name a limit."
    )
    chunk_size: int = Field(default=256, ge=1, description="Answers per commit to the artifact store.")
    deterministic: bool = Field(default=False, description=DETERMINISTIC)
    max_reject_ratio: float = Field(
        default=0.95, ge=0, le=1, description="Fraction of rejected answers above which the step fails."
    )


class CheckParameters(Model):
    """Decides before training whether self-alignment works on this base model with this pack."""

    metrics: tuple[str, ...] = Field(min_length=1, description="Metrics (SUITE.METRIC) that are compared.")
    prompting_gain: float = Field(ge=-1, le=1, description="Least mean gain of the prompted over the bare base.")
    kept_share: float = Field(ge=0, le=1, description="Least fraction of answers that are kept.")
    distinct_answers: float = Field(ge=0, le=1, description="Least fraction of distinct answers among those kept.")
    refusal_share: float = Field(ge=0, le=1, description="Highest fraction of refusals among the kept answers.")
    loop_share: float = Field(ge=0, le=1, description="Highest fraction of answers that end in a loop.")
    language_share: float = Field(ge=0, le=1, description="Least fraction of kept answers in the pack's language.")


class VerboseAnswersParameters(Model):
    """Verbose cloning, first half: the engraved teacher answers under the verbose prompt (paper section 3.4)."""

    engine: EngineParameters = Field(default=EngineParameters(), description=ENGINE)
    assistant_name: str = Field(description=ASSISTANT_NAME)
    sampling: Sampling = Field(description="Decoding settings of the answers.")
    thoughts: bool = Field(default=False, exclude_if=_is_off, description=THOUGHTS)
    chunk_size: int = Field(default=256, ge=1, description="Answers per commit to the artifact store.")
    deterministic: bool = Field(default=False, description=DETERMINISTIC)
    max_reject_ratio: float = Field(
        default=0.95, ge=0, le=1, description="Fraction of rejected answers above which the step fails."
    )


class TrainParameters(Model):
    """Fine-tunes the BASE model on answers without principles and exemplars (paper section 3.3)."""

    assistant_name: str = Field(description=ASSISTANT_NAME)
    method: Literal["lora", "full"] = Field(description="Weights that are trained: a low-rank adapter, or all.")
    rank: int = Field(default=16, ge=1, description="Rank of the LoRA matrices.")
    alpha: int = Field(default=16, ge=1, description="LoRA scaling numerator: the adapter is scaled by alpha / rank.")
    dropout: float = Field(default=0.05, ge=0, lt=1, description="Dropout probability of the adapter's input.")
    targets: tuple[str, ...] | None = Field(
        default=None, description="Linear modules that get an adapter; none: all but the output layer."
    )
    learning_rate: float = Field(gt=0, description="Peak learning rate of AdamW, reached after warm-up.")
    epochs: float = Field(gt=0, description="Passes over the training rows.")
    global_batch_size: int = Field(ge=1, description="Rows per optimizer step, over all processes.")
    micro_batch_size: int = Field(ge=1, description="Rows per process and forward pass.")
    warmup_ratio: float = Field(ge=0, lt=1, description="Fraction of the optimizer steps in which the rate rises.")
    max_length: int = Field(ge=16, description="Longest row in tokens, prompt and answer together.")
    checkpoint_steps: int = Field(ge=1, description="Optimizer steps between checkpoints.")
    identity_repeats: int = Field(ge=0, description="Copies of each identity row of the pack in the training rows.")
    validation_share: float | None = Field(
        default=None, gt=0, le=0.5, description="Fraction of the answered prompts that are held out; none: no prompt."
    )
    extra_rows: tuple[float, ...] | None = Field(
        default=None,
        description="Largest fraction of the training rows (answers and extra rows) that each file of one's own, the "
        "leaves `extraRows:STAGE:N`, makes up, by its number; none without such files.",
    )
    thoughts: bool = Field(
        default=False,
        exclude_if=_is_off,
        description="Whether the thought before each answer is trained on too, in <think> tags; otherwise it is left "
        "out, as in the paper.",
    )


class MergeParameters(Model):
    """Adds the adapter to the base weights; a fully fine-tuned model is passed through."""

    dtype: Literal["bfloat16", "float16", "float32"] = Field(description="Data type of the merged weights.")
    tolerance: float = Field(
        gt=0,
        description="Largest mean divergence between adapter and merged weights, as a multiple of the base model's own "
        "loss by the cast.",
    )


class SuiteParameters(Model):
    """An evaluation suite; its content is the leaf `suite:NAME`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name of the suite in metrics and gates.")
    format: SuiteFormat = Field(description="File format and scoring method.")


class ScoreParameters(Model):
    """Runs the suites on one model variant. `prompted` is the base model under principles and exemplars."""

    engine: EngineParameters = Field(default=EngineParameters(), description=ENGINE)
    variant: Variant = Field(description="Model variant to score.")
    assistant_name: str = Field(description=ASSISTANT_NAME)
    suites: tuple[SuiteParameters, ...] = Field(description="Suites to score, in the manifest's order.")
    sampling: Sampling = Field(description="Decoding settings of answers to adherence and limits suites.")
    thought: Thought | None = Field(
        default=None, description="How the prompted base thinks, as in step answers; None for all other variants."
    )
    thoughts: bool = Field(default=False, exclude_if=_is_off, description=THOUGHTS)


class GateParameters(Model):
    """Compares the variants, with paired bootstrap intervals, and checks the gates."""

    gates: tuple[str, ...] = Field(description="Gate expressions (contract.gates); all must hold.")
    bootstrap_samples: int = Field(default=2000, ge=100, description="Bootstrap resamples behind each interval.")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="Confidence level of the bootstrap intervals.")


class ImageParameters(Model):
    """Packs the chosen model as an OCI image."""

    assistant_name: str = Field(description=ASSISTANT_NAME)
    repository: str = Field(description="Repository in the image's reference, without a tag.")
    tag: str = Field(description="Tag in the image's reference.")
    variant: Literal["engraved", "cloned"] = Field(description="Model variant in the image.")
    model_license: str = Field(description="SPDX expression for labels and model card.")
    sampling: Sampling = Field(description="Decoding that was evaluated, which clients get who choose none.")
    extra_rows: float | None = Field(
        default=None,
        description="Largest fraction of the rows of a training behind the model that were of the user's own; none "
        "without such rows.",
    )
    thoughts: bool = Field(default=False, exclude_if=_is_off, description=THOUGHTS)


class PushParameters(Model):
    """Takes the packed image to a registry. `base` is the image with a server that format server joins."""

    repository: str = Field(description="Repository to push to, without a tag.")
    tag: str = Field(description="First tag of the pushed image.")
    promote_to: str | None = Field(default=None, description="Second tag of the pushed image, if any.")
    formats: tuple[Literal["server", "modelcar"], ...] = Field(
        description="Image formats to push; the first gets the plain tags."
    )
    base: str | None = Field(default=None, description="Image with the inference server, for format server.")
    served_name: str = Field(description="Model name that format server answers to.")
    plain_http: bool = Field(default=False, description="Whether the registry is reached without TLS.")
