"""What stages ask of an engine: completions as a stream, and log-probabilities of given continuations."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True)
class Request:
    """A prompt as plain text and the seed of its sampling."""

    prompt: str
    seed: int


@dataclass(frozen=True)
class Decoding:
    """How completions are decoded; `ignore_end` goes on past the end token (list continuations want that)."""

    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...] = ()
    ignore_end: bool = False


@dataclass(frozen=True)
class Completion:
    """`finish_reason` is abort when the prompt leaves no room; `own_end` tells the end token from a stop string."""

    text: str
    finish_reason: Literal["stop", "length", "abort"]
    tokens: int
    own_end: bool = False


@dataclass(frozen=True)
class Scored:
    """Summed natural log-probability of a continuation and its number of tokens."""

    logprob: float
    tokens: int


class Engine(Protocol):
    """A loaded model."""

    def stream(
        self, requests: Iterable[Request], decoding: Decoding, *, fresh: bool = False
    ) -> Iterator[tuple[int, Completion]]:
        """(position, completion) as they end; requests are drawn lazily. `fresh` forgets cached prefixes first."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[Scored]:
        """Log-probability of each (prompt, continuation)'s continuation, tokenised as one text."""


def seed_for(key: str, record_id: str, *, seed: int) -> int:
    """A 31-bit sampling seed per step key and record."""
    digest = hashlib.sha256(f"{key}/{seed}/{record_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
