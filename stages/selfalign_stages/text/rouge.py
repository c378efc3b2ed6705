"""Exact ROUGE-L: the F-measure on longest common subsequences of words (Lin 2004), decided as rouge_score does it."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rapidfuzz.distance import LCSseq

WORD = re.compile(r"[^\W_]+")
"""Equal to rouge_score's tokens on ASCII text, and not empty on any other script."""


def words(text: str) -> tuple[str, ...]:
    """Lower-case words."""
    return tuple(WORD.findall(text.lower()))


def f_measure(common: int, first: int, second: int) -> float:
    """F of an LCS of `common` words and two lengths, in rouge_score's own order of operations: ties round as there."""
    if not common:
        return 0.0
    precision, recall = common / first, common / second
    return 2 * precision * recall / (precision + recall)


def rouge_l(first: str, second: str) -> float:
    """ROUGE-L F-measure of two texts."""
    a, b = words(first), words(second)
    return f_measure(LCSseq.similarity(a, b), len(a), len(b))


@dataclass
class Index:
    """Texts kept so far, searchable for one whose ROUGE-L with a new text exceeds `threshold`.

    A pair above the threshold shares at least threshold/(2-threshold) of the longer text's words, so that with words
    sorted rarest first two such texts meet in a short prefix: only those pairs are verified by their LCS.
    """

    threshold: float
    frequency: Counter[str]
    _texts: list[tuple[str, ...]] = field(default_factory=list)
    _postings: dict[tuple[str, int], list[int]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def over(cls, texts: Iterable[str], *, threshold: float) -> "Index":
        """An empty index whose rarity order comes from `texts`."""
        return cls(threshold=threshold, frequency=Counter(word for text in texts for word in words(text)))

    def add(self, text: str) -> int:
        """Keeps a text; its number."""
        found = words(text)
        for item in self._prefix(found):
            self._postings[item].append(len(self._texts))
        self._texts.append(found)
        return len(self._texts) - 1

    def nearest(self, text: str) -> int | None:
        """Number of the first kept text above the threshold, or None."""
        found, seen = words(text), set[int]()
        for item in self._prefix(found):
            for number in self._postings.get(item, ()):
                if number not in seen and self._above(found, self._texts[number]):
                    return number
                seen.add(number)
        return None

    def _above(self, a: Sequence[str], b: Sequence[str]) -> bool:
        shorter, longer = sorted((len(a), len(b)))
        if f_measure(shorter, shorter, longer) < self.threshold:
            return False
        return f_measure(LCSseq.similarity(a, b), len(a), len(b)) > self.threshold

    def _prefix(self, found: Sequence[str]) -> list[tuple[str, int]]:
        seen = Counter[str]()
        items = []
        for word in found:
            seen[word] += 1
            items.append((word, seen[word]))
        items.sort(key=lambda item: (self.frequency[item[0]], item))
        shared = int(self.threshold / (2 - self.threshold) * len(found))
        return items[: len(found) - max(shared, 1) + 1]


def duplicates(texts: Sequence[str], *, known: Sequence[str], threshold: float) -> list[bool]:
    """For each text in order, whether it is too near to `known` or to an earlier text that was kept."""
    index = Index.over([*known, *texts], threshold=threshold)
    for text in known:
        index.add(text)
    verdicts = []
    for text in texts:
        near = index.nearest(text) is not None
        verdicts.append(near)
        if not near:
            index.add(text)
    return verdicts
