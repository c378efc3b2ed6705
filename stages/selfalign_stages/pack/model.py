"""What a principle pack holds: fewer than 300 lines of human annotation in all (paper section 3).

A pack is a folder of flat files or the `data` of a ConfigMap with the same names:

    pack.yaml             Header
    principles.yaml       list of Principle
    exemplars.yaml        list of Exemplar
    prompts.yaml          Frames
    identity.yaml         list of Identity
    question-types.yaml   list of QuestionType
    seed-tasks.jsonl      one SeedTask a line
    suite.NAME.json[l]    optional evaluation suites, addressed as pack://NAME
"""

from pydantic import Field

from selfalign_stages.contract.model import Model


class Header(Model):
    """Name and terms of the pack."""

    name: str = Field(min_length=1)
    version: str
    language: str = "en"
    license: str
    knowledge_cutoff: str = Field(description="what {knowledgeCutoff} stands for in the pack's texts")


class Principle(Model):
    """One rule; `text` may use {assistantName} and {knowledgeCutoff}."""

    number: int = Field(ge=1)
    name: str = Field(min_length=1)
    text: str = Field(min_length=1)


class Turn(Model):
    """A user turn with the assistant's internal thought, the rules that it names, and its answer."""

    user: str = Field(min_length=1)
    thought: str = Field(min_length=1)
    rules: tuple[str, ...] = Field(min_length=1, description="principle names")
    answer: str = Field(min_length=1)


class Exemplar(Model):
    """A conversation that shows rules at work."""

    turns: tuple[Turn, ...] = Field(min_length=1)


class Frames(Model):
    """The fixed texts around what a stage fills in."""

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
    """A kind of question that a model alone cannot answer or answers wrongly, with a seed topic and question."""

    type: str = Field(min_length=1)
    topic: str = Field(min_length=1)
    question: str = Field(min_length=1)


class SeedTask(Model):
    """A task that self-instruct starts from."""

    id: str
    instruction: str = Field(min_length=1)
    input: str = ""


class Pack(Model):
    """A whole principle pack; `digest` covers the content of every file, not names or places."""

    header: Header
    principles: tuple[Principle, ...] = Field(min_length=1)
    exemplars: tuple[Exemplar, ...] = Field(min_length=1)
    frames: Frames
    identity: tuple[IdentityGroup, ...] = ()
    question_types: tuple[QuestionType, ...] = Field(min_length=1)
    seed_tasks: tuple[SeedTask, ...] = Field(min_length=1)
    suites: dict[str, str] = Field(default={}, description="file name to content")
    digest: str

    def fill(self, text: str, *, assistant_name: str) -> str:
        """`text` with its two placeholders replaced."""
        return text.replace("{assistantName}", assistant_name).replace(
            "{knowledgeCutoff}", self.header.knowledge_cutoff
        )

    def principle(self, name: str) -> Principle:
        """The principle called `name`; KeyError names those there are."""
        for principle in self.principles:
            if principle.name == name:
                return principle
        raise KeyError(f"no principle {name!r} in pack {self.header.name}: {[p.name for p in self.principles]}")
