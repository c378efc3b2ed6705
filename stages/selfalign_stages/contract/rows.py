"""The records that generation steps write, one JSON line each. A rejected record stays, with its reason."""

from typing import Literal

from pydantic import Field

from selfalign_stages.contract.model import Model

Source = Literal["self-instruct", "topic-guided", "identity"]


class Topic(Model):
    """A topic of a question type; `round` is 0 for seeds."""

    id: str
    type: str
    topic: str
    round: int
    reject: str | None = None


class Prompt(Model):
    """An instruction with optional input, and where it came from."""

    id: str
    instruction: str
    input: str = ""
    source: Source
    type: str | None = None
    topic: str | None = None
    seeds: tuple[str, ...] = ()
    reject: str | None = None

    @property
    def text(self) -> str:
        """What the user says: instruction, blank line, input."""
        return f"{self.instruction}\n\n{self.input}" if self.input else self.instruction


class Draft(Model):
    """A raw completion of a red-teaming step, kept so that a round is never generated twice."""

    id: str
    seeds: tuple[str, ...] = ()
    text: str
    finish_reason: Literal["stop", "length", "abort"]


class Answer(Model):
    """An answered prompt. `rules` are the principle numbers that the thought names."""

    id: str
    prompt: Prompt
    thought: str = ""
    rules: tuple[int, ...] = ()
    answer: str
    finish_reason: Literal["stop", "length", "abort"]
    tokens: int = Field(ge=0, description="completion tokens")
    reject: str | None = None
