"""The schema of a principle pack: fewer than 300 lines of human annotation in all (paper section 3).

A pack is a folder of flat files or the `data` of a ConfigMap with the same names, so that no archive or registry is
needed to bring one into a cluster:

    pack.yaml             Header
    principles.yaml       list of Principle
    exemplars.yaml        list of Exemplar
    prompts.yaml          Frames
    identity.yaml         list of IdentityGroup, optional
    question-types.yaml   list of QuestionType
    seed-tasks.jsonl      one SeedTask a line
    suite.NAME.json[l]    optional evaluation suites, addressed as pack://NAME

Texts may contain {assistantName} and {knowledgeCutoff}, so that one pack serves assistants of any name.
"""

from collections.abc import Collection
from typing import Literal, Self

from pydantic import Field

from selfalign_stages.contract.model import Model

Limit = Literal["expected", "never", "open"]
"""Whether a good answer declines or names a limit of the assistant: it must, it must not, or that is not known.

Where answers have no thought that cites a rule, this alone tells a justified refusal from an unjustified one."""


class Header(Model):
    """Name and terms of the pack."""

    name: str = Field(min_length=1)
    version: str
    language: str = Field(default="en", description="language of the texts (BCP 47), such as en")
    license: str
    knowledge_cutoff: str = Field(description="what {knowledgeCutoff} stands for in the pack's texts")


class Principle(Model):
    """One rule that the assistant follows, numbered from 1 in order."""

    number: int = Field(ge=1)
    name: str = Field(min_length=1, description="what thoughts cite beside the number; unique in the pack")
    text: str = Field(min_length=1, description="one sentence about the assistant")
    limits: bool = Field(
        default=False,
        description="whether declining, or saying what the assistant cannot do, can be right under this rule",
    )


class Turn(Model):
    """A user message and how the assistant should think and answer."""

    user: str = Field(min_length=1)
    thought: str | None = Field(
        default=None,
        min_length=1,
        description="what kind of query this is; the cited rules are added to it. All turns have one, or none has",
    )
    rules: tuple[str, ...] = Field(
        default=(), description="names of the principles that apply; a thought needs at least one"
    )
    answer: str = Field(min_length=1)


class Exemplar(Model):
    """A conversation that demonstrates rules, shown in the self-align prompt (paper section 3.2)."""

    turns: tuple[Turn, ...] = Field(min_length=1)


class Frames(Model):
    """The fixed texts of the prompts, around what a stage fills in."""

    introduction: str = Field(description="opens the self-align prompt, before the rules")
    examples: str = Field(description="introduces exemplars and internal thoughts")
    verbose: str = Field(description="system prompt under which the engraved teacher answers at length")
    verbose_name: str = Field(description="what the teacher is called there, such as '{assistantName} (in depth)'")
    self_instruct: str = Field(description="opens the list of tasks that general self-instruct continues")
    topics: str = Field(description="opens the list of topics of a question type")
    questions: str = Field(description="opens the list of questions by type and topic")
    choice: str = Field(description="asks which of two answers, shown as A and B, is better")


class IdentityGroup(Model):
    """Questions about the assistant itself that share one answer."""

    questions: tuple[str, ...] = Field(min_length=1)
    answer: str = Field(min_length=1)


class QuestionType(Model):
    """A kind of question that a model alone cannot answer or answers wrongly (paper section 3.1)."""

    type: str = Field(min_length=1)
    topic: str = Field(min_length=1, description="seed topic")
    question: str = Field(min_length=1, description="seed question of that type and topic")
    answer: str | None = Field(
        default=None,
        min_length=1,
        description="a good answer to the seed question; both are the last exemplar for prompts of the type, in a pack "
        "without thoughts",
    )
    limit: Limit = Field(default="open", description="whether good answers to such questions decline or name a limit")
    rules: tuple[str, ...] = Field(
        default=(), description="names of the rules that decide good answers to such questions; none: not known"
    )
    prompts: tuple[str, ...] = Field(
        default=(), description="further questions of the type by hand, which are prompts as they are"
    )

    @property
    def exemplar(self) -> Exemplar | None:
        """The seed question with its answer; None without one."""
        if self.answer is None:
            return None
        return Exemplar(turns=(Turn(user=self.question, rules=self.rules, answer=self.answer),))


class SeedTask(Model):
    """A task that self-instruct starts from."""

    id: str
    instruction: str = Field(min_length=1)
    input: str = Field(default="", description="material that the instruction applies to")
    limit: Limit = Field(default="open", description="whether a good answer declines or names a limit")


class Pack(Model):
    """A whole principle pack, or the part of it that a step reads (`pack.parts`)."""

    header: Header
    principles: tuple[Principle, ...] = Field(min_length=1)
    exemplars: tuple[Exemplar, ...] = Field(min_length=1)
    frames: Frames
    identity: tuple[IdentityGroup, ...] = ()
    question_types: tuple[QuestionType, ...] = Field(min_length=1)
    seed_tasks: tuple[SeedTask, ...] = Field(min_length=1)
    suites: dict[str, str] = Field(default={}, description="content of the evaluation suites by file name")
    digest: str = Field(description="of the content of all files, wherever the pack was read from")

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns of all exemplars."""
        return tuple(turn for exemplar in self.exemplars for turn in exemplar.turns)

    @property
    def demonstrations(self) -> tuple[Exemplar, ...]:
        """The exemplars, and those of the question types: all that a prompt of self-alignment may show."""
        own = (kind.exemplar for kind in self.question_types)
        return (*self.exemplars, *(exemplar for exemplar in own if exemplar is not None))

    @property
    def has_thoughts(self) -> bool:
        """Whether the exemplars show internal thoughts."""
        return any(turn.thought is not None for turn in self.turns)

    def under(self, rules: Collection[str]) -> Self:
        """Returns the pack without principles that limit, but for these, and without the exemplars that show others.

        The exemplars that show the rules are last, where they influence the answer most.

        Args:
            rules: names of principles.
        """
        kept = tuple(p for p in self.principles if p.name in rules or not p.limits)
        names = {principle.name for principle in kept}

        def cited(exemplar: Exemplar) -> set[str]:
            return {rule for turn in exemplar.turns for rule in turn.rules}

        shown = [exemplar for exemplar in self.exemplars if cited(exemplar) <= names]
        shown.sort(key=lambda exemplar: not cited(exemplar).isdisjoint(rules))  # stable
        return self.model_copy(update={"principles": kept, "exemplars": tuple(shown)})

    def fill(self, text: str, *, assistant_name: str) -> str:
        """Returns `text` with its two placeholders replaced. Other braces stay, since texts may show code."""
        return text.replace("{assistantName}", assistant_name).replace(
            "{knowledgeCutoff}", self.header.knowledge_cutoff
        )

    def principle(self, name: str) -> Principle:
        """Returns the principle called `name`.

        Raises:
            KeyError: there is none; the message lists the names that exist.
        """
        for principle in self.principles:
            if principle.name == name:
                return principle
        raise KeyError(f"no principle {name!r} in pack {self.header.name}: {[p.name for p in self.principles]}")
