"""Finds prompt text in answers, by a filter derived from the pack's own exemplars instead of a list made by hand.

A long run of words shared with an exemplar is a leak unless the query is about what that exemplar is about: an honest
answer about the weather may well resemble the exemplar about the weather.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Self

from selfalign_stages.pack.model import Exemplar, Pack
from selfalign_stages.pack.rendering import EXAMPLE_HEADING, RULES_CUE

EXEMPLAR_RUN = 10
FRAME_RUN = 7
CONTENT_LETTERS = 4
WORD = re.compile(r"\w+")


def words(text: str) -> tuple[str, ...]:
    """Lower-case words."""
    return tuple(WORD.findall(text.lower()))


def runs(text: str, length: int) -> set[tuple[str, ...]]:
    """All runs of `length` consecutive words."""
    found = words(text)
    return {found[i : i + length] for i in range(len(found) - length + 1)}


@dataclass(frozen=True)
class Leaks:
    """Runs of words by their place in the pack."""

    exemplars: tuple[tuple[frozenset[tuple[str, ...]], frozenset[str]], ...]
    frames: tuple[tuple[str, frozenset[tuple[str, ...]]], ...]
    markers: tuple[str, ...]

    @classmethod
    def of(cls, pack: Pack, *, assistant_name: str, verbose: bool = True) -> Self:
        """The filter of a pack; without `verbose` for answers of a model that was never shown the verbose prompt."""

        def fill(text: str) -> str:
            return pack.fill(text, assistant_name=assistant_name)

        common = _common_words(pack)
        shown = {"verbose-prompt": pack.frames.verbose} if verbose else {}
        frames = shown | {
            "introduction": pack.frames.introduction,
            "principles": "\n".join(principle.text for principle in pack.principles),
        }
        return cls(
            exemplars=tuple(_exemplar(exemplar, fill(_text(exemplar)), common) for exemplar in pack.exemplars),
            frames=tuple((name, frozenset(runs(fill(text), FRAME_RUN))) for name, text in frames.items()),
            markers=(
                *("### User", f"### {assistant_name}", EXAMPLE_HEADING, RULES_CUE),
                *([fill(pack.frames.verbose_name)] if verbose else []),
            ),
        )

    def reason(self, answer: str, *, query: str) -> str | None:
        """What leaked into the answer (leak-marker, leak-exemplar-N, leak-verbose-prompt ...), or None."""
        if any(marker in answer for marker in self.markers):
            return "leak-marker"
        asked, long_runs = set(words(query)), runs(answer, EXEMPLAR_RUN)
        for number, (known, content) in enumerate(self.exemplars, start=1):
            if not asked & content and known & long_runs:
                return f"leak-exemplar-{number}"
        short_runs = runs(answer, FRAME_RUN) - runs(query, FRAME_RUN)
        return next((f"leak-{name}" for name, known in self.frames if known & short_runs), None)


def _text(exemplar: Exemplar) -> str:
    return "\n".join(f"{turn.user}\n{turn.answer}" for turn in exemplar.turns)


def _exemplar(
    exemplar: Exemplar, text: str, common: frozenset[str]
) -> tuple[frozenset[tuple[str, ...]], frozenset[str]]:
    asked = words(" ".join(turn.user for turn in exemplar.turns))
    content = {word for word in asked if len(word) >= CONTENT_LETTERS and word not in common}
    return frozenset(runs(text, EXEMPLAR_RUN)), frozenset(content)


def _common_words(pack: Pack) -> frozenset[str]:
    """Words in more than a tenth of the pack's queries: they say nothing about what a query is about."""
    queries = [task.instruction for task in pack.seed_tasks] + [kind.question for kind in pack.question_types]
    seen = Counter(word for query in queries for word in set(words(query)))
    return frozenset(word for word, number in seen.items() if number > max(3, len(queries) / 10))
