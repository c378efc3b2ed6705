"""Exact ROUGE-L (Lin 2004) for whole collections: the F-measure on the longest common subsequence of words.

Self-Instruct accepts an instruction only if its ROUGE-L with every earlier one is at most 0.7, and computes that with
the rouge_score package pair by pair, which takes core-weeks at the paper's scale. Approximations such as MinHash decide
differently near the threshold. This module makes the same decisions as the pairwise loop, to the last bit, and skips
pairs that cannot exceed the threshold (`Index`); benchmarks/dedup.py measures both.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rapidfuzz.distance import LCSseq

from selfalign_stages.text.words import words


def rouge_tokens(text: str) -> tuple[str, ...]:
    """Splits a text into lower-case words as rouge_score does on ASCII text: runs of letters and digits.

    rouge_score's own pattern, a-z and 0-9, matches nothing in other scripts, so that no two texts in them would be
    duplicates; here they have words.
    """
    return tuple(words(text))


def f_measure(common: int, first: int, second: int) -> float:
    """Computes the F-measure from lengths.

    The order of operations is rouge_score's. The mathematically equal 2 * common / (first + second) rounds differently,
    and pairs of exactly 0.7 occur in practice.

    Args:
        common: words of the longest common subsequence.
        first: words of one text.
        second: words of the other text.
    """
    if not common:
        return 0.0
    precision, recall = common / first, common / second
    return 2 * precision * recall / (precision + recall)


def rouge_l(first: str, second: str) -> float:
    """ROUGE-L F-measure of two texts, from 0 (no common word) to 1 (equal words)."""
    a, b = rouge_tokens(first), rouge_tokens(second)
    return f_measure(LCSseq.similarity(a, b), len(a), len(b))


@dataclass
class Index:
    """Accepted texts, searchable for one whose ROUGE-L with a new text exceeds a threshold.

    Candidates come from prefix filtering, as in set similarity joins. For lengths m <= n a pair above the threshold t
    has more than t(m+n)/2 common words, hence more than s = t/(2-t) times the length of either text. Two word multisets
    with s common elements, sorted in one order, have a common element among the first length-s+1 of each. Only these
    prefixes are indexed, and only texts that meet there are compared in full. The order is rarest word first, so that
    prefixes consist of words that few texts contain.

    Attributes:
        threshold: ROUGE-L above which two texts are near duplicates.
        frequency: occurrences of each word; decides the order of words. Any counts give the same decisions.
    """

    threshold: float
    frequency: Counter[str]
    _texts: list[tuple[str, ...]] = field(default_factory=list)
    _postings: dict[tuple[str, int], list[int]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def over(cls, texts: Iterable[str], *, threshold: float) -> "Index":
        """Makes an empty index with the word frequencies of `texts`, which should be all texts to be compared."""
        return cls(threshold=threshold, frequency=Counter(word for text in texts for word in rouge_tokens(text)))

    def add(self, text: str) -> int:
        """Adds a text and returns its number, counted from 0."""
        tokens = rouge_tokens(text)
        for item in self._prefix(tokens):
            self._postings[item].append(len(self._texts))
        self._texts.append(tokens)
        return len(self._texts) - 1

    def nearest(self, text: str) -> int | None:
        """Returns the number of a text above the threshold, the first that is met, or None if there is none."""
        tokens, compared = rouge_tokens(text), set[int]()
        for item in self._prefix(tokens):
            for number in self._postings.get(item, ()):
                if number not in compared and self._above(tokens, self._texts[number]):
                    return number
                compared.add(number)
        return None

    def _above(self, a: Sequence[str], b: Sequence[str]) -> bool:
        shorter, longer = sorted((len(a), len(b)))
        # An upper bound that needs no LCS: the shorter text as a subsequence of the longer one.
        if f_measure(shorter, shorter, longer) < self.threshold:
            return False
        return f_measure(LCSseq.similarity(a, b), len(a), len(b)) > self.threshold

    def _prefix(self, tokens: Sequence[str]) -> list[tuple[str, int]]:
        """The elements of the text's multiset to index: (word, how often it occurred up to here), rarest first."""
        occurrences = Counter[str]()
        items = []
        for word in tokens:
            occurrences[word] += 1
            items.append((word, occurrences[word]))
        items.sort(key=lambda item: (self.frequency[item[0]], item))
        shared = int(self.threshold / (2 - self.threshold) * len(tokens))
        return items[: len(tokens) - max(shared, 1) + 1]


def duplicates(texts: Sequence[str], *, known: Sequence[str], threshold: float) -> list[bool]:
    """Marks near duplicates in order, as Self-Instruct does: the earlier text stays.

    Args:
        texts: candidates.
        known: texts that candidates are compared with besides each other, such as seed tasks.
        threshold: ROUGE-L above which a candidate is a duplicate; 0.7 in the paper.

    Returns:
        One verdict per candidate. A candidate that is a duplicate itself makes no later one a duplicate.
    """
    index = Index.over([*known, *texts], threshold=threshold)
    for text in known:
        index.add(text)
    verdicts = []
    for text in texts:
        is_duplicate = index.nearest(text) is not None
        verdicts.append(is_duplicate)
        if not is_duplicate:
            index.add(text)
    return verdicts
