"""What each stage can be told. Defaults suit base models of 1 to 8 billion parameters."""

from typing import Annotated, Literal

from pydantic import Field

from selfalign_operator.api.resources import Placement
from selfalign_operator.api.training import Training
from selfalign_operator.api.validation import map_by
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.parameters import Sampling

TEMPERATURE = "spread of the choice among tokens, 0 always takes the likeliest"
TOP_P = "part of the probability that is drawn from"


class TopicSampling(Sampling):
    """Decoding settings of the topic lists."""

    temperature: float = Field(default=1.0, ge=0, le=2, description=TEMPERATURE)
    top_p: float = Field(default=0.98, gt=0, le=1, description=TOP_P)
    max_tokens: int = Field(default=128, ge=1, description="new tokens per completion")


class QuestionSampling(Sampling):
    """Decoding settings of topic-guided questions."""

    temperature: float = Field(default=1.0, ge=0, le=2, description=TEMPERATURE)
    top_p: float = Field(default=0.95, gt=0, le=1, description=TOP_P)
    max_tokens: int = Field(default=128, ge=1, description="new tokens per completion")


class InstructionSampling(Sampling):
    """Decoding settings of general self-instruct."""

    temperature: float = Field(default=1.0, ge=0, le=2, description=TEMPERATURE)
    top_p: float = Field(default=0.98, gt=0, le=1, description=TOP_P)
    max_tokens: int = Field(default=384, ge=1, description="new tokens per completion")


class RedTeamingSampling(Model):
    """Decoding settings by branch."""

    topics: TopicSampling = TopicSampling()
    questions: QuestionSampling = QuestionSampling()
    instructions: InstructionSampling = InstructionSampling()


class RedTeaming(Placement):
    """Stage 1: prompts from general self-instruct and from topic-guided red-teaming."""

    prompts: int = Field(default=40_000, ge=1, le=10_000_000, description="prompts kept at most")
    rounds: int = Field(default=4, ge=1, le=100, description="rounds, each fed with what the one before made")
    topics_per_type: int = Field(default=50, ge=1, le=100_000, description="topics wanted for each question type")
    questions_per_topic: int = Field(default=10, ge=1, le=10_000, description="questions asked about each topic")
    topic_guided_share: float = Field(
        default=0.25, ge=0, lt=1, description="part of `prompts` left to topic-guided questions; the rest is general"
    )
    dedup_rouge_l: float = Field(
        default=0.7, ge=0, le=1, description="a prompt above this ROUGE-L to a seed or an earlier one is rejected"
    )
    decontaminate: bool = Field(default=True, description="reject prompts too near to an evaluation question")
    deterministic: bool = Field(
        default=False, description="equal bytes after a kill and a rerun on the same machine; slower between chunks"
    )
    sampling: RedTeamingSampling = RedTeamingSampling()


class Generation(Placement):
    """How answers are generated, in chunks that are each committed once."""

    temperature: float = Field(default=0.5, ge=0, le=2, description=TEMPERATURE)
    top_p: float = Field(default=0.9, gt=0, le=1, description=TOP_P)
    max_tokens: int = Field(default=512, ge=1, le=131_072, description="new tokens of thought and answer together")
    chunk_size: int = Field(default=256, ge=1, le=100_000, description="records per commit: what a kill can cost")
    deterministic: bool = Field(
        default=False, description="equal bytes after a kill and a rerun on the same machine; slower between chunks"
    )
    max_reject_ratio: float = Field(default=0.95, ge=0, le=1, description="more rejects than this fail the stage")


class VerboseGeneration(Generation):
    """The engraved teacher's answers under the verbose prompt."""

    temperature: float = Field(default=0.3, ge=0, le=2, description=TEMPERATURE)
    top_p: float = Field(default=0.7, gt=0, le=1, description=TOP_P)
    max_tokens: int = Field(default=1024, ge=1, le=131_072, description="new tokens per answer")


class Cloning(Model):
    """Stage 4: verbose cloning; without it the engraved model is the product."""

    enabled: bool = Field(default=True, description="false ends the run with the engraved model")
    generation: VerboseGeneration = VerboseGeneration()
    training: Training = Training()


class Suite(Model):
    """An evaluation suite: own ones ship with the pack, public ones are read from a uri in their public format."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40, description="as gates and reports call it")
    format: Literal["hhh", "truthfulqa", "adherence"] = Field(
        description="hhh: BIG-bench hhh_alignment; truthfulqa: its CSV or JSON; adherence: prompts with patterns"
    )
    uri: str = Field(
        pattern=r"^(pack|file|s3)://.+", max_length=1024, description="pack://NAME, file://FILE or s3://BUCKET/KEY"
    )


class EvaluationSampling(Sampling):
    """Decoding settings of evaluation answers: greedy, so that two runs compare."""

    temperature: float = Field(default=0.0, ge=0, le=2, description=TEMPERATURE)
    top_p: float = Field(default=1.0, gt=0, le=1, description=TOP_P)
    max_tokens: int = Field(default=512, ge=1, description="new tokens per completion")


PACK_SUITES = (
    Suite(name="hhh", format="hhh", uri="pack://hhh"),
    Suite(name="truthfulqa", format="truthfulqa", uri="pack://truthfulqa"),
    Suite(name="adherence", format="adherence", uri="pack://adherence"),
)


class Evaluation(Placement):
    """Stage 5: suites on every variant, and the gates that the result must pass before it is packed."""

    suites: tuple[Suite, ...] = Field(
        default=PACK_SUITES,
        min_length=1,
        max_length=16,
        description="what every variant is measured on",
        json_schema_extra=map_by("name"),
    )
    gates: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = Field(
        default=(), max_length=32, description='such as "cloned.hhh.overall >= base.hhh.overall + 0.05"'
    )
    bootstrap_samples: int = Field(default=2000, ge=100, le=1_000_000, description="resamples behind each interval")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="of the intervals")
    sampling: EvaluationSampling = EvaluationSampling()


class Packaging(Placement):
    """Where stage 6 runs; what it makes stands under spec.image."""


class Stages(Model):
    """The six stages after the import."""

    red_teaming: RedTeaming = RedTeaming()
    self_align: Generation = Generation()
    engraving: Training = Training()
    cloning: Cloning = Cloning()
    evaluation: Evaluation = Evaluation()
    packaging: Packaging = Packaging()
