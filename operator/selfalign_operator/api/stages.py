"""Settings of the six stages. Defaults suit base models of 1 to 8 billion parameters.

What enters a step's key is decided in `planning.graph`: everything here does, except placement (`workers`, `resources`,
`template`). A change of a setting reruns the steps that use it and the steps after them, and no others.
"""

from pydantic import Field

from selfalign_operator.api.evaluation import Evaluation
from selfalign_operator.api.resources import Placement, ShardedPlacement
from selfalign_operator.api.sampling import TEMPERATURE, TOP_P, RedTeamingSampling
from selfalign_operator.api.sources import RowSource
from selfalign_operator.api.training import Engraving, Training
from selfalign_operator.api.validation import cel
from selfalign_stages.contract import rules
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.parameters import MIN_P, TOP_K, Thought

DETERMINISTIC = (
    "Whether the artifact is equal byte for byte after any interruption and rerun on the same machine with the same "
    "number of threads. Each chunk is then generated alone, from an empty prefix cache, which is slower."
)


class PromptSource(RowSource):
    """File with prompts of one's own: JSON lines or Parquet with `instruction` or `prompt`.

    `input` is what a row's text applies to; other columns are ignored. The prompts are deduplicated and
    decontaminated as all others are.
    """

    share: float = Field(
        gt=0,
        le=1,
        description="Fraction of `prompts` that this file fills at most; of more rows the seed chooses, and the others "
        "are rejected as over-share. A file with fewer rows leaves the rest unfilled. All shares add up to 1 at most.",
    )


class RedTeaming(ShardedPlacement):
    """Stage 1, topic-guided red-teaming self-instruct (paper section 3.1): the base model writes the prompts.

    One branch extends the pack's seed tasks (self-instruct), the other asks questions on generated topics. Both are
    merged with prompts of one's own, filtered and deduplicated.
    """

    model_config = cel(
        (
            f"!has(self.promptSources) || self.promptSources.map(source, source.share).sum() <= {rules.SHARES_LIMIT}",
            rules.SHARES_ABOVE_ONE,
        )
    )

    prompts: int = Field(
        default=40_000,
        ge=1,
        le=10_000_000,
        description="Maximum number of prompts that the stage keeps after filtering and deduplication; fewer if the "
        "branches yield fewer. The paper has 360,000.",
    )
    prompt_sources: tuple[PromptSource, ...] = Field(
        default=(),
        max_length=8,
        description="Files with prompts of one's own. The base model generates the rest of `prompts`, with fewer tasks "
        "and fewer questions per topic in proportion, and nothing if the shares add up to 1. Empty: it generates all.",
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
        description="Questions that are generated for each pair of question type and topic. Beside `promptSources` "
        "fewer: the fraction that their shares leave, rounded up.",
    )
    topic_guided_share: float = Field(
        default=0.25,
        ge=0,
        lt=1,
        description="Fraction of the generated prompts left to topic-guided questions. Self-instruct generates the "
        "rest: prompts x (1 - topicGuidedShare) tasks, less what `promptSources` fill.",
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
    top_k: int = Field(default=0, ge=0, le=1_000_000, description=TOP_K)
    min_p: float = Field(default=0.0, ge=0, le=1, description=MIN_P)
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

    model_config = cel(
        # Defaults of a whole stage are checked before those of its fields are filled in.
        (
            "!has(self.attempts) || self.attempts == 1 || !has(self.temperature) || self.temperature > 0.0",
            rules.ATTEMPTS_NEED_CHANCE,
        ),
        (
            "!has(self.attempts) || self.attempts == 1 || !has(self.samples) || self.samples == 1",
            rules.ATTEMPTS_OR_SAMPLES,
        ),
    )

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
    attempts: int = Field(
        default=1,
        ge=1,
        le=16,
        description="How often an answer is generated at most: one that is rejected is generated again, and the first "
        "sound one is kept (rejection sampling). A small base that knows a limit in two of three samples loses a third "
        "of such prompts otherwise. Costs as much as the rejected answers. Not beside samples, and not with "
        "temperature 0.",
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


class Packaging(Placement):
    """Stage 6: packs the chosen model as an OCI image and pushes it. Its settings are in spec.image."""


class Stages(Model):
    """Settings of the six stages. The import of the base model, which precedes them, has none."""

    model_config = cel(
        (
            "!has(self.engraving) || !has(self.engraving.thoughts) || !self.engraving.thoughts || "
            "!has(self.selfAlign) || !has(self.selfAlign.thought) || self.selfAlign.thought != 'none'",
            rules.THOUGHTS_NEED_THOUGHT,
        )
    )

    red_teaming: RedTeaming = Field(
        default=RedTeaming(), description="Stage 1: the base model writes prompts, from seed tasks and by topics."
    )
    self_align: SelfAlign = Field(
        default=SelfAlign(),
        description="Stage 2, principle-driven self-alignment (paper section 3.2): the base model answers every prompt "
        "with the pack's principles and exemplars in context.",
    )
    engraving: Engraving = Field(
        default=Engraving(),
        description="Stage 3, principle engraving (paper section 3.3): the base model is fine-tuned on its own "
        "answers, without principles and exemplars, and without thoughts unless `thoughts` is set.",
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
