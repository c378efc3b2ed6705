"""Generation loops, for which an answer is rejected.

Dromedary's released code cuts an answer at the first clause that occurred before, which damages good text: a second
"However," ends the answer, and so does a repeated bracket in code. Here a loop is a phrase repeated at the very end of
the answer, and an answer with one is rejected whole, never trimmed: a trimmed answer would teach to end abruptly.
"""

import re

from selfalign_stages.text.spelling import caseless
from selfalign_stages.text.words import IDENTIFIER, UNIT, weight

REPEATS = 4
"""Repetitions of a phrase that make a loop. Good text repeats a phrase twice at its end (23 of 27,094 passages of
CPython 3.11's standard library and documentation: code, tables, lists) but none of these does so three times; the
fourth repetition leaves room for chants and refrains."""
LONGEST_PERIOD = 40
"""Words and marks in the longest phrase that is checked. Four of them fill an answer of the default 256 tokens."""
SHORTEST_LOOP = 12
"""Words and marks that all repetitions must have together, so that "no, no, no, no" and "ha ha ha ha" are not loops."""
TOKEN = re.compile(rf"{IDENTIFIER.pattern}|[^\w\s]")
"""A word or a single mark. Marks count, because lists and code loop in their punctuation too."""


def ends_in_loop(text: str) -> bool:
    """Whether a text ends in a generation loop.

    A loop is a phrase of at most LONGEST_PERIOD words and marks, at least one of them a word, that the text ends with
    REPEATS or more times in a row. Case is ignored. Rows of marks alone, such as brackets or a table's rule, are none.
    """
    tokens = TOKEN.findall(caseless(text))
    size = 0
    for period in range(1, len(tokens) // REPEATS + 1):
        phrase = tokens[-period:]
        size += weight(phrase[0])
        if size > LONGEST_PERIOD * UNIT:
            break
        # Rows of marks are brackets in code, or the rule of a table.
        if not any(token[0].isalnum() for token in phrase):
            continue
        repeats = 1
        while tokens[-(repeats + 1) * period : -repeats * period] == phrase:
            repeats += 1
        if repeats >= REPEATS and repeats * size >= SHORTEST_LOOP * UNIT:
            return True
    return False
