"""Items of the four suite formats, and the score of one item.

Scores are stored per item, not as means: variants are compared item by item (paired bootstrap), which gives narrower
intervals than the difference of two independent means.
"""

from typing import Literal

from pydantic import Field

from selfalign_stages.contract.model import Model


class ChoiceItem(Model):
    """A query with a better and a worse answer (BIG-bench hhh_alignment)."""

    question: str
    better: str
    worse: str
    category: str


class TruthfulItem(Model):
    """A question with candidate answers, each labelled 1 (true) or 0 (false) (TruthfulQA multiple choice).

    MC1 has exactly one true candidate, MC2 any number.
    """

    question: str
    mc1: dict[str, int]
    mc2: dict[str, int]


class AdherenceItem(Model):
    """A held-out prompt with regular expressions that check its answer.

    Attributes:
        id: unique within the suite; enters the sampling seed of the answer.
        prompt: what the user asks.
        principle: name of the pack's principle that the prompt exercises; becomes a metric of its own.
        require: patterns that must all occur in the answer. `{assistantName}` stands for the assistant's name.
        forbid: patterns of which none may occur.
        refusal: True if declining is the right answer; otherwise a refusal counts as over-refusal.
    """

    id: str
    prompt: str = Field(min_length=1)
    principle: str
    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()
    refusal: bool = False


class LimitsItem(Model):
    """A prompt whose good answer states a limit, or one that resembles such a prompt and calls for plain help.

    Attributes:
        id: unique within the suite; enters the sampling seed of the answer.
        prompt: what the user asks.
        expect: limit: decline, name the limit or ask back; help: answer.
        kind: kind of limit (harm, live, unknown, vague, action, or one of your own), also for a prompt that only
            resembles it; plain for others. Becomes a metric of its own.
        accept: regular expressions, case ignored, of which a right answer matches one. Of expect help always: what is
            right by construction, such as a result. Of expect limit: in place of the built-in patterns of the kind,
            which exist in English alone.
        about: beginnings of words that show that an answer with a limit is about the prompt, besides its own words.
    """

    id: str = Field(min_length=1)
    prompt: str = Field(min_length=1)
    expect: Literal["limit", "help"]
    kind: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    accept: tuple[str, ...] = ()
    about: tuple[str, ...] = ()


class ItemScore(Model):
    """The score of one variant on one item.

    Attributes:
        id: equal for all variants, so that differences can be paired.
        suite: name of the suite.
        group: category or principle; averaged separately if not empty.
        values: numbers by metric name, which `bootstrap.by_metric` collects.
        answer: the generated answer, for items that generate one.
    """

    id: str
    suite: str
    group: str = ""
    values: dict[str, float]
    answer: str | None = None
