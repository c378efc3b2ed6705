"""The records of generation steps, one JSON line each.

A rejected record stays in the artifact with its reason. Deleting it would hide why a run kept few rows, and a reader
could not tell a rejected record from one that was lost.
"""

from typing import Literal

from pydantic import Field

from selfalign_stages.contract.model import Model

Source = Literal["self-instruct", "topic-guided", "own", "seed", "identity"]
"""Where a prompt comes from: self-instruct, topic-guided red-teaming (paper section 3.1), a file of the user's own, or
the pack, as a question of a type (seed) or about the assistant (identity)."""


class Topic(Model):
    """A topic of a question type (paper section 3.1, topic-guided red-teaming)."""

    id: str
    type: str = Field(description="question type of the pack")
    topic: str
    round: int = Field(description="round of generation; 0 for the pack's seed topics")
    reject: str | None = Field(default=None, description="reject reason; none for a kept record")


class Prompt(Model):
    """An instruction with optional input, and its origin."""

    id: str
    instruction: str
    input: str = Field(default="", description="material that the instruction applies to, such as a text to shorten")
    source: Source
    type: str | None = Field(default=None, description="question type, of topic-guided prompts")
    topic: str | None = Field(default=None, description="topic, of topic-guided prompts")
    seeds: tuple[str, ...] = Field(default=(), description="ids of the demonstrations, or the topic, in its prompt")
    reject: str | None = Field(default=None, description="reject reason; none for a kept record")

    @property
    def text(self) -> str:
        """The user message: instruction, blank line, input."""
        return f"{self.instruction}\n\n{self.input}" if self.input else self.instruction


class Draft(Model):
    """A raw completion of a red-teaming step, stored so that an interrupted round is not generated a second time."""

    id: str
    seeds: tuple[str, ...] = Field(default=(), description="ids of the demonstrations, type or topic in its prompt")
    text: str
    finish_reason: Literal["stop", "length", "abort"]


class Answer(Model):
    """An answered prompt."""

    id: str
    prompt: Prompt
    thought: str = Field(default="", description="internal thought before the answer (paper section 3.2)")
    rules: tuple[int, ...] = Field(default=(), description="numbers of the principles that the thought names")
    renumbered: int = Field(
        default=0, ge=0, description="cited principles whose number was wrong, so that the name decided"
    )
    answer: str
    finish_reason: Literal["stop", "length", "abort"] = Field(
        description="stop: the model ended or reached a stop string; length: token limit; abort: no room in the context"
    )
    tokens: int = Field(ge=0, description="tokens of the completion, thought included")
    reject: str | None = Field(default=None, description="reject reason; none for a kept record")
