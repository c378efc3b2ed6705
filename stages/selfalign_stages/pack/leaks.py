"""Rejects answers that repeat the prompt: exemplars, principles, the verbose prompt, or the marks of its format.

A base model under a long few-shot prompt sometimes answers a query with an exemplar's answer. Dromedary's released code
filters such leaks by a hand-made word list, which fits its five exemplars only and also drops every honest answer about
the weather or a president. Here the filter is derived from the pack: an answer leaks if it shares a long n-gram of
words with an exemplar, unless the query shares a content word with that exemplar's questions, because an honest answer
about the weather may well resemble the exemplar about the weather.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from selfalign_stages.chat import assistant_heading, user_heading
from selfalign_stages.pack.model import Exemplar, Pack
from selfalign_stages.pack.rendering import EXAMPLE_HEADING, RULES_CUE, thoughts_heading
from selfalign_stages.text.prompt_filters import has_special_token
from selfalign_stages.text.words import UNIT, identifiers, is_unspaced, weight

# Good text stays far below both lengths: of the 104 candidate answers in the suites of pack dromedary-16 none shares
# more than 4 consecutive words with an exemplar, or more than 3 with the introduction, principles or verbose prompt.
EXEMPLAR_NGRAM = 10
"""Consecutive words that an answer must share with an exemplar to count as a leak."""
FRAME_NGRAM = 7
"""The same for principles and fixed prompt texts; less, because they are about the assistant and no query asks for them
in their own words. N-grams that the query itself contains do not count."""
CONTENT_LETTERS = 4
"""Letters of the shortest word that may tell what a query is about; shorter ones are mostly function words."""
COMMON_SHARE, COMMON_LEAST = 0.1, 3
"""A word in more than a tenth of the pack's queries, and in more than three, does not tell what a query is about."""
FUNCTION = frozenset(
    "的了吗呢吧啊嘛么什怎谁哪何我你您他她它们这那是在也很就而且把被请问没與們這個請問麼誰嗎沒"
    + "".join(map(chr, range(0x3041, 0x3097)))
)
"""Characters that stand in function words and hardly ever in others, of Chinese and all Hiragana: what contains one of
them tells nothing about the matter of a query."""
AUXILIARY = frozenset("一个些几多少可以能会要想得不无有都和为于从到给让对过着所地之其再还個幾為從給對過無與還會")
"""Characters of Chinese that form function words with each other ("一个", "可以") and words of matter with others."""
EXAMPLE_LINE = re.compile(rf"{EXAMPLE_HEADING} \d+:?")

NGrams = frozenset[tuple[str, ...]]


def plain_words(text: str) -> tuple[str, ...]:
    """Splits a text into lower-case words in which underscores count as letters (`text.words.identifiers`)."""
    return tuple(identifiers(text))


def ngrams(text: str, length: int) -> set[tuple[str, ...]]:
    """All shortest sequences of consecutive words with a length of at least `length`; none for a shorter text.

    A character of a script without blanks counts as a fraction of a word (`words.weight`): ten of them would be half a
    sentence, which honest answers share. Two texts that share a long run of words share such a sequence in any script.
    """
    return set(_shortest_runs(plain_words(text), least=length * UNIT))


def content_words(text: str) -> set[str]:
    """The words that may tell what a text is about.

    These are words of CONTENT_LETTERS letters or more. In scripts without blanks, where no pattern finds them, every
    sequence of characters that is just longer than a word stands for one: two characters of Chinese, four of Thai.
    """
    words = plain_words(text)
    content = {word for word in words if len(word) >= CONTENT_LETTERS}
    for unspaced, run in itertools.groupby(words, key=lambda word: is_unspaced(word) and word not in FUNCTION):
        if unspaced:
            runs = _shortest_runs(tuple(run), least=UNIT + 1)
            content |= {"".join(characters) for characters in runs if not AUXILIARY.issuperset(characters)}
    return content


def _shortest_runs(words: tuple[str, ...], *, least: int) -> Iterator[tuple[str, ...]]:
    """For every word the shortest run of words from there on whose weights sum to `least`, if there is one."""
    weights = [weight(word) for word in words]
    end, size = 0, 0
    for start, own in enumerate(weights):
        while size < least and end < len(words):
            size += weights[end]
            end += 1
        if size < least:
            return
        yield words[start:end]
        size -= own


@dataclass(frozen=True)
class LeakFilter:
    """The n-grams of a pack by their origin.

    Attributes:
        exemplars: of every exemplar, its n-grams and the content words of its questions.
        frames: name and n-grams of every fixed text; the name ends the reject reason.
        headings: lines of the prompt format. A single one in an answer is a leak.
        phrases: words of the prompt format that are a leak anywhere.
    """

    exemplars: tuple[tuple[NGrams, frozenset[str]], ...]
    frames: tuple[tuple[str, NGrams], ...]
    headings: frozenset[str]
    phrases: tuple[str, ...]

    @classmethod
    def of(cls, pack: Pack, *, assistant_name: str, verbose: bool = True) -> Self:
        """Derives the filter from a pack.

        Args:
            pack: with rules, and with the verbose frames if `verbose`.
            assistant_name: fills {assistantName} in the pack's texts.
            verbose: whether the model was shown the verbose prompt, which can only leak then. Step `answers` reads a
                part of the pack without it.
        """

        def fill(text: str) -> str:
            return pack.fill(text, assistant_name=assistant_name)

        common = _common_words(pack)
        verbose_frames = {"verbose-prompt": pack.frames.verbose} if verbose else {}
        frames = verbose_frames | {
            "introduction": pack.frames.introduction,
            "principles": "\n".join(principle.text for principle in pack.principles),
        }
        verbose_markers = [fill(pack.frames.verbose_name)] if verbose else []
        return cls(
            exemplars=tuple(_exemplar(exemplar, fill(_text(exemplar)), common) for exemplar in pack.demonstrations),
            frames=tuple((name, frozenset(ngrams(fill(text), FRAME_NGRAM))) for name, text in frames.items()),
            headings=frozenset(
                {user_heading(), assistant_heading(assistant_name), thoughts_heading(assistant_name)}
                | {f"### {marker}" for marker in verbose_markers}
            ),
            phrases=(RULES_CUE, *verbose_markers),
        )

    def reason(self, answer: str, *, query: str) -> str | None:
        """Decides whether an answer repeats the prompt.

        Args:
            answer: the answer without its thought.
            query: the user's message. What it contains itself may occur in the answer.

        Returns:
            leak-marker, leak-exemplar-N (from 1; those of question types follow the pack's), leak-verbose-prompt,
            leak-introduction or leak-principles, whichever applies first; None for an answer without leak.
        """
        if self._has_marker(answer):
            return "leak-marker"
        query_words, long_ngrams = content_words(query), ngrams(answer, EXEMPLAR_NGRAM)
        for number, (exemplar_ngrams, content) in enumerate(self.exemplars, start=1):
            same_matter = query_words & content
            if not same_matter and exemplar_ngrams & long_ngrams:
                return f"leak-exemplar-{number}"
        short_ngrams = ngrams(answer, FRAME_NGRAM) - ngrams(query, FRAME_NGRAM)
        return next((f"leak-{name}" for name, frame_ngrams in self.frames if frame_ngrams & short_ngrams), None)

    def _has_marker(self, answer: str) -> bool:
        # A heading counts only as a whole line: "### User interfaces" and "## Examples" are ordinary ones.
        lines = {line.strip() for line in answer.split("\n")}
        return (
            not lines.isdisjoint(self.headings)
            or any(EXAMPLE_LINE.fullmatch(line) for line in lines)
            or any(phrase in answer for phrase in self.phrases)
            or has_special_token(answer)
        )


def _text(exemplar: Exemplar) -> str:
    return "\n".join(f"{turn.user}\n{turn.answer}" for turn in exemplar.turns)


def _exemplar(exemplar: Exemplar, text: str, common: frozenset[str]) -> tuple[NGrams, frozenset[str]]:
    """N-grams of an exemplar's filled text, and the content words of its questions."""
    content = content_words("\n".join(turn.user for turn in exemplar.turns)) - common
    return frozenset(ngrams(text, EXEMPLAR_NGRAM)), frozenset(content)


def _common_words(pack: Pack) -> frozenset[str]:
    """Words that many of the pack's own queries contain, such as "what" and "write"."""
    queries = [task.instruction for task in pack.seed_tasks] + [kind.question for kind in pack.question_types]
    query_counts = Counter(word for query in queries for word in content_words(query))
    bound = max(COMMON_LEAST, len(queries) * COMMON_SHARE)
    return frozenset(word for word, number in query_counts.items() if number > bound)
