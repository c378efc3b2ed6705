"""How tokens are chosen: decoding settings of red-teaming and evaluation, and the words that explain them."""

from pydantic import Field

from selfalign_stages.contract.model import Model
from selfalign_stages.contract.parameters import Sampling

TEMPERATURE = "Sampling temperature: logits are divided by it, so higher is more varied. 0 is greedy decoding."
TOP_P = "Nucleus sampling mass (top-p): tokens are drawn from the smallest set whose probabilities add up to it."
MAX_TOKENS = "Maximum number of new tokens per completion. The unfinished end of one that reaches it is dropped."


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


class EvaluationSampling(Sampling):
    """Decoding of evaluation answers: greedy, so that two runs can be compared."""

    temperature: float = Field(default=0.0, ge=0, le=2, description=TEMPERATURE)
    top_p: float = Field(default=1.0, gt=0, le=1, description=TOP_P)
    max_tokens: int = Field(
        default=512,
        ge=1,
        description="Maximum number of new tokens per evaluation answer, with the thought of the prompted model.",
    )
