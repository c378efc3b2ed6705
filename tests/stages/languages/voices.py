"""What a scripted model writes in a language, and what the steps have to make of it.

Every voice has the same cases, so that the tests state the verdicts once and each language has to reach them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfalign_stages.pack import loading
from selfalign_stages.pack.model import Pack

PACKS = Path(__file__).parents[2] / "data" / "packs"
ENGLISH = "The owl has large eyes, and it is awake at night, so that it can see the mouse."
"""A right answer in the wrong language."""


@dataclass(frozen=True)
class Case:
    """One prompt and what the model answers.

    Attributes:
        query: the instruction.
        reply: the answer, without thought.
        kind: position of the prompt's question type in the pack; None for a task of self-instruct.
        rule: number of the rule that a thought before the answer cites.
        finish: why the completion ended.
    """

    query: str
    reply: str
    kind: int | None = None
    rule: int = 5
    finish: str = "stop"


@dataclass(frozen=True)
class Voice:
    """A scripted model of one language.

    Attributes:
        name: folder of the pack in tests/data/packs.
        topics: continuation of a list of topics, after "2.".
        topic_verdicts: its topics with their reject reasons, in order.
        questions: raw continuations of a question, with the text that is read from each.
        tasks: continuation of a list of tasks; NUMBER+n stands for the number of the (n + 1)th.
        task_verdicts: its tasks as instruction, input and reject reason, in order.
        prompt_verdicts: further questions by text, with the reject reason that step prompts gives them.
        cases: prompts and answers by name.
        suite: a good answer for every item of the pack's suite, by id.
        refusal: a canned refusal.
    """

    name: str
    topics: str
    topic_verdicts: Sequence[tuple[str, str | None]]
    questions: Sequence[tuple[str, str]]
    tasks: str
    task_verdicts: Sequence[tuple[str, str, str | None]]
    prompt_verdicts: Mapping[str, str | None]
    cases: Mapping[str, Case]
    suite: Mapping[str, str]
    refusal: str

    @property
    def uri(self) -> str:
        """Address of the pack."""
        return (PACKS / self.name).as_uri()

    @property
    def pack(self) -> Pack:
        """The whole pack."""
        return loading.load(self.uri)
