"""Items of the three suite formats."""

from pydantic import Field

from selfalign_stages.contract.model import Model


class ChoiceItem(Model):
    """A query with a better and a worse answer (BIG-bench hhh_alignment)."""

    question: str
    better: str
    worse: str
    category: str


class TruthfulItem(Model):
    """A question with candidate answers (TruthfulQA): MC1 has one true candidate, MC2 any number."""

    question: str
    mc1: dict[str, int]
    mc2: dict[str, int]


class AdherenceItem(Model):
    """A held-out prompt with patterns that a good answer matches or avoids."""

    id: str
    prompt: str = Field(min_length=1)
    principle: str
    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()
    refusal: bool = False


class ItemScore(Model):
    """What one item of one suite came to; `values` are the numbers that metrics average."""

    id: str
    suite: str
    group: str = ""
    values: dict[str, float]
    answer: str | None = None
