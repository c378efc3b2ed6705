"""Reasons to reject a generated answer that follow from its text alone: generation loops and canned refusals.

Dromedary's released code cuts an answer at the first clause that occurred before, which damages good text: a second
"However," ends the answer, and so does a repeated bracket in code. Here a loop is a phrase repeated at the very end of
the answer, and an answer with one is rejected whole, never trimmed: a trimmed answer would teach to end abruptly.

Refusals are the opposite risk. A base model that imitates chat transcripts declines harmless requests, and training on
that teaches over-refusal. Whether a refusal is justified does not follow from its text: see `answering.lineage`.
"""

import re

REPEATS = 4
"""Repetitions of a phrase that make a loop. Good text repeats a phrase twice at its end (23 of 27,094 passages of
CPython 3.11's standard library and documentation: code, tables, lists) but none of these does so three times; the
fourth repetition leaves room for chants and refrains."""
LONGEST_PERIOD = 40
"""Words and marks in the longest phrase that is checked. Four of them fill an answer of the default 256 tokens."""
SHORTEST_LOOP = 12
"""Words and marks that all repetitions must have together, so that "no, no, no, no" and "ha ha ha ha" are not loops."""
TOKEN = re.compile(r"\w+|[^\w\s]")
"""A word or a single mark. Marks count, because lists and code loop in their punctuation too."""

OPENING = re.compile(
    r"^\W*(i\W?m sorry|i am sorry|sorry\b|i apologi[sz]e|unfortunately,? i|as an ai\b|"
    r"i (cannot|can\W?t|can not|am unable to|am not able to|won\W?t|will not) (help|assist|answer|comply|provide|do))",
    re.IGNORECASE,
)
"""How canned refusals begin. Later in an answer the same words are ordinary: "the sorry state of the bridge"."""


def ends_in_loop(text: str) -> bool:
    """Whether a text ends in a generation loop.

    A loop is a phrase of at most LONGEST_PERIOD words and marks, at least one of them a word, that the text ends with
    REPEATS or more times in a row. Case is ignored. Rows of marks alone, such as brackets or a table's rule, are none.
    """
    tokens = TOKEN.findall(text.lower())
    for period in range(1, min(LONGEST_PERIOD, len(tokens) // REPEATS) + 1):
        phrase = tokens[-period:]
        # Rows of marks are brackets in code, or the rule of a table.
        if not any(token[0].isalnum() for token in phrase):
            continue
        repeats = 1
        while tokens[-(repeats + 1) * period : -repeats * period] == phrase:
            repeats += 1
        if repeats >= REPEATS and repeats * period >= SHORTEST_LOOP:
            return True
    return False


def refuses(answer: str, *, language: str = "en") -> bool:
    """Whether the answer opens by declining or apologising (English only)."""
    return OPENING.match(answer) is not None
