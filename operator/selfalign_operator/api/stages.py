"""Settings of the six stages. Defaults suit base models of 1 to 8 billion parameters.

What enters a step's key is decided in `planning.graph`: everything here does, except placement (`workers`, `resources`,
`template`). A change of a setting reruns the steps that use it and the steps after them, and no others.
"""

from typing import Annotated

from pydantic import Field

from selfalign_operator.api.resources import Placement, ShardedPlacement
from selfalign_operator.api.training import Training
from selfalign_operator.api.validation import map_by
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.parameters import Sampling, SuiteFormat, Thought

TEMPERATURE = "Sampling temperature: logits are divided by it, so higher is more varied. 0 is greedy decoding."
TOP_P = "Nucleus sampling mass (top-p): tokens are drawn from the smallest set whose probabilities add up to it."
MAX_TOKENS = "Maximum number of new tokens per completion. The unfinished end of one that reaches it is dropped."
DETERMINISTIC = (
    "Whether the artifact is equal byte for byte after any interruption and rerun on the same machine with the same "
    "number of threads. Each chunk is then generated alone, from an empty prefix cache, which is slower."
)


class TopicSampling(Sampling):
    """Decoding of topic lists, which are short."""

    temperature: float = Field(default=1.0, ge=0, le=2, description=TEMPERATURE)
    top_p: float = Field(default=0.98, gt=0, le=1, description=TOP_P)
    max_tokens: int = Field(default=128, ge=1, description=MAX_TOKENS)


class QuestionSampling(Sampling):
    """Decoding of topic-guided questions, one line each."""

    temperature: float = Field(default=1.0, ge=0, le=2, description=TEMPERATURE)
    top_p: float = Field(default=0.95, gt=0, le=1, description=TOP_P)
    max_tokens: int = Field(
        default=128,
        ge=1,
        description="Maximum number of new tokens per question. A question that reaches it is rejected as cut.",
    )


class InstructionSampling(Sampling):
    """Decoding of self-instruct task lists, several tasks per completion."""

    temperature: float = Field(default=1.0, ge=0, le=2, description=TEMPERATURE)
    top_p: float = Field(default=0.98, gt=0, le=1, description=TOP_P)
    max_tokens: int = Field(default=384, ge=1, description=MAX_TOKENS)


class RedTeamingSampling(Model):
    """Decoding settings of the three generation steps of red-teaming."""

    topics: TopicSampling = Field(default=TopicSampling(), description="Decoding of topic lists.")
    questions: QuestionSampling = Field(default=QuestionSampling(), description="Decoding of topic-guided questions.")
    instructions: InstructionSampling = Field(
        default=InstructionSampling(), description="Decoding of self-instruct tasks."
    )


class RedTeaming(ShardedPlacement):
    """Stage 1, topic-guided red-teaming self-instruct (paper section 3.1): the base model writes the prompts.

    One branch extends the pack's seed tasks (self-instruct), the other asks questions on generated topics. Both are
    merged, filtered and deduplicated.
    """

    prompts: int = Field(
        default=40_000,
        ge=1,
        le=10_000_000,
        description="Maximum number of prompts that the stage keeps after filtering and deduplication; fewer if the "
        "branches yield fewer. The paper has 360,000.",
    )
    rounds: int = Field(
        default=4,
        ge=1,
        le=100,
        description="Rounds of topic and task generation. Each round shows the model what earlier rounds produced, and "
        "generation ends early once enough is kept.",
    )
    topics_per_type: int = Field(
        default=50,
        ge=1,
        le=100_000,
        description="Maximum number of topics per question type, the pack's own included. All types are cut to the "
        "smallest type's number, so that none dominates.",
    )
    questions_per_topic: int = Field(
        default=10,
        ge=1,
        le=10_000,
        description="Questions that are generated for each pair of question type and topic.",
    )
    topic_guided_share: float = Field(
        default=0.25,
        ge=0,
        lt=1,
        description="Fraction of `prompts` left to topic-guided questions. Self-instruct generates the rest: prompts x "
        "(1 - topicGuidedShare) tasks.",
    )
    dedup_rouge_l: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="Near-duplicate threshold: a prompt is rejected if its ROUGE-L F-measure with a seed or an earlier "
        "prompt is above it. 1 keeps all.",
    )
    decontaminate: bool = Field(
        default=True,
        description="Whether prompts with a ROUGE-L above 0.7 to a question of an evaluation suite are rejected, so "
        "that no evaluation item is trained on.",
    )
    deterministic: bool = Field(default=False, description=DETERMINISTIC)
    sampling: RedTeamingSampling = Field(
        default=RedTeamingSampling(), description="Decoding settings of each generation step of the stage."
    )


class Generation(ShardedPlacement):
    """Generation of one answer per prompt, in chunks that are each committed once to the artifact store.

    Answers that are cut, loop, refuse without reason or repeat the pack's exemplars are rejected. They stay in the
    artifact with their reason, and the status counts them.
    """

    temperature: float = Field(default=0.5, ge=0, le=2, description=TEMPERATURE)
    top_p: float = Field(default=0.9, gt=0, le=1, description=TOP_P)
    max_tokens: int = Field(
        default=512,
        ge=1,
        le=131_072,
        description="Maximum number of new tokens per completion, internal thought and answer together. An answer that "
        "reaches it is rejected as cut, since it would teach the model not to stop.",
    )
    chunk_size: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="Answers per commit to the artifact store, and unit of work of a worker. A killed pod loses the "
        "chunks that it has not committed.",
    )
    deterministic: bool = Field(default=False, description=DETERMINISTIC)
    max_reject_ratio: float = Field(
        default=0.95,
        ge=0,
        le=1,
        description="Highest fraction of rejected answers. The step fails above it, and if no answer is kept (reason "
        "YieldTooLow).",
    )


class Requirements(Model):
    """What must hold before training starts. A run that misses it ends with the figures, before a GPU trains.

    An edit of a threshold moves such a run on, from the answers that exist.
    """

    prompting_gain: float = Field(
        default=0.02,
        ge=-1,
        le=1,
        description="Least gain of the base model by the pack's principles and exemplars in context: mean over the "
        "suites with written answers (format adherence or limits), or over all if there are none. A smaller gain ends "
        "the run with reason PromptingDoesNotHelp. -1 accepts any.",
    )
    kept_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Least fraction of answers that the filters keep; below it the run ends with reason YieldTooLow.",
    )
    distinct_answers: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Least fraction of distinct texts among the kept answers; below it the run ends with reason "
        "YieldTooLow.",
    )
    refusal_share: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="Highest fraction of refusals among the kept answers; above it the run ends with reason "
        "YieldTooLow, because training would teach to refuse everything.",
    )
    loop_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Highest fraction of answers, kept or not, that end in a generation loop; above it the run ends "
        "with reason YieldTooLow.",
    )
    language_share: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="Least fraction of kept answers in the language of the principle pack; below it the run ends with "
        "reason YieldTooLow.",
    )


class SelfAlign(Generation):
    """Stage 2, principle-driven self-alignment (paper section 3.2), and what it must yield before training starts."""

    thought: Thought | None = Field(
        default=None,
        description="How the base model thinks before it answers. free: it writes a thought that cites rules, as in "
        "the paper, and an answer whose thought does not read back is rejected. constrained: the thought follows a "
        "grammar and cites rules of the pack only; the answer stays free. none: it answers at once, under exemplars "
        "without thoughts, for models below about 1 billion parameters. Whether a refusal is right then follows from "
        "`limit` of the question type or the seed tasks behind the prompt. Unset: free if the pack has thoughts, else "
        "none. The prompted variant is evaluated in the same way.",
    )
    samples: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Answers generated per prompt. From several, the one that agrees most with the others is kept "
        "(ROUGE-L, among those that refuse or those that help, whichever are more); a prompt without a majority is "
        "rejected as no-agreement. Generation takes that many times as long; an uneven number avoids ties.",
    )
    limit_share: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Largest fraction of the kept answers that decline or name a limit; the surplus is rejected as "
        "surplus-limit. Trained on mostly limits, a model refuses everything. Unset: no bound.",
    )
    requirements: Requirements = Field(
        default=Requirements(), description="What must hold before training starts; the run ends where it does not."
    )


class VerboseGeneration(Generation):
    """Generation of long answers by the engraved model under the pack's verbose prompt (paper section 3.4)."""

    temperature: float = Field(default=0.3, ge=0, le=2, description=TEMPERATURE)
    top_p: float = Field(default=0.7, gt=0, le=1, description=TOP_P)
    max_tokens: int = Field(
        default=1024,
        ge=1,
        le=131_072,
        description="Maximum number of new tokens per answer. An answer that reaches it is rejected as cut.",
    )


class Cloning(Model):
    """Stage 4, verbose cloning (paper section 3.4): the base model learns the engraved model's long answers."""

    enabled: bool = Field(
        default=True, description="Whether the stage runs. Without it the run ends with the engraved model."
    )
    generation: VerboseGeneration = Field(
        default=VerboseGeneration(),
        description="How the engraved model answers all prompts at length, under the pack's verbose prompt.",
    )
    training: Training = Field(default=Training(), description="How the base model is fine-tuned on the long answers.")


class Suite(Model):
    """Evaluation suite. Its content, not its address, enters the keys of the steps that read it.

    Public suites are read in the file format that they are published in, so that scores can be compared.
    """

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$",
        max_length=40,
        description="Name of the suite in gates, metrics and reports, unique within the run.",
    )
    format: SuiteFormat = Field(
        description="File format and scoring method. hhh: BIG-bench hhh_alignment JSON, choice between two answers; "
        "truthfulqa: its CSV or JSON, multiple choice; adherence: JSON lines, prompts with patterns that an answer "
        "must match or avoid; limits: JSON lines, prompts that call for a limit and others that call for plain help."
    )
    uri: str = Field(
        pattern=r"^(pack|file|s3)://.+",
        max_length=1024,
        description="Address of the suite: pack://NAME for one in the principle pack, or file://PATH, which must exist "
        "in the pods. This release cannot read s3:// and reports it in preflight.",
    )


class EvaluationSampling(Sampling):
    """Decoding of evaluation answers: greedy, so that two runs can be compared."""

    temperature: float = Field(default=0.0, ge=0, le=2, description=TEMPERATURE)
    top_p: float = Field(default=1.0, gt=0, le=1, description=TOP_P)
    max_tokens: int = Field(
        default=512,
        ge=1,
        description="Maximum number of new tokens per evaluation answer, with the thought of the prompted model.",
    )


_PAPER_SUITES = (
    Suite(name="hhh", format="hhh", uri="pack://hhh"),
    Suite(name="truthfulqa", format="truthfulqa", uri="pack://truthfulqa"),
    Suite(name="adherence", format="adherence", uri="pack://adherence"),
)
BUILTIN_SUITES: dict[str, tuple[Suite, ...]] = {
    "dromedary-16": _PAPER_SUITES,
    "hamlet": _PAPER_SUITES,
    "starter": (Suite(name="limits", format="limits", uri="pack://limits"),),
}
"""Suites that each built-in principle pack ships, by its name. The operator cannot read packs; a test compares."""
Gate = Annotated[
    str,
    Field(
        min_length=1,
        max_length=256,
        description='Comparison of sums of VARIANT.SUITE.METRIC and numbers, such as "cloned.hhh.overall >= '
        'base.hhh.overall + 0.05". Operators: + - * and >= <= > <.',
    ),
]


class Evaluation(Placement):
    """Stage 5: scores every model variant on the suites and checks the gates. A failed gate prevents packaging.

    Variants are base, prompted (the base with principles and exemplars in context), engraved and cloned.
    """

    suites: (
        Annotated[tuple[Suite, ...], Field(min_length=1, max_length=16, json_schema_extra=map_by("name"))] | None
    ) = Field(
        default=None,
        description="Suites that every variant (base, prompted, engraved, cloned) is scored on. Unset: those that the "
        "built-in principle pack ships (dromedary-16 and hamlet: hhh, truthfulqa and adherence; starter: limits). A "
        "pack of your own needs the list.",
    )
    gates: tuple[Gate, ...] = Field(
        default=(),
        max_length=32,
        description="Conditions that must all hold before the image is packed. A failed one ends the run with reason "
        "GateFailed; the report is published. Empty: every result passes.",
    )
    bootstrap_samples: int = Field(
        default=2000,
        ge=100,
        le=1_000_000,
        description="Bootstrap resamples over a suite's items behind each confidence interval.",
    )
    confidence: float = Field(
        default=0.95,
        gt=0,
        lt=1,
        description="Confidence level of the bootstrap intervals of all metrics. Gates compare means and ignore it.",
    )
    sampling: EvaluationSampling = Field(
        default=EvaluationSampling(),
        description="Decoding of the answers to adherence and limits suites. The other formats score answers that the "
        "suite has.",
    )


class Packaging(Placement):
    """Stage 6: packs the chosen model as an OCI image and pushes it. Its settings are in spec.image."""


class Stages(Model):
    """Settings of the six stages. The import of the base model, which precedes them, has none."""

    red_teaming: RedTeaming = Field(
        default=RedTeaming(), description="Stage 1: the base model writes prompts, from seed tasks and by topics."
    )
    self_align: SelfAlign = Field(
        default=SelfAlign(),
        description="Stage 2, principle-driven self-alignment (paper section 3.2): the base model answers every prompt "
        "with the pack's principles and exemplars in context.",
    )
    engraving: Training = Field(
        default=Training(),
        description="Stage 3, principle engraving (paper section 3.3): the base model is fine-tuned on its own "
        "answers, without principles, exemplars and thoughts.",
    )
    cloning: Cloning = Field(
        default=Cloning(),
        description="Stage 4, verbose cloning (paper section 3.4): the engraved model answers at length, and the base "
        "model is fine-tuned on that.",
    )
    evaluation: Evaluation = Field(
        default=Evaluation(), description="Stage 5: scores all variants on the suites and checks the gates."
    )
    packaging: Packaging = Field(
        default=Packaging(), description="Stage 6: placement of the steps that pack and push spec.image."
    )
