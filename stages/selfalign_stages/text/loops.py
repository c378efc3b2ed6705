"""Detects generation loops by repetition at the tail. A looping text is rejected, never trimmed: a second "However,"
or a repeated line of code is no loop.
"""

import re

LONGEST_PERIOD = 40
REPEATS = 4
SHORTEST_LOOP = 12

TOKEN = re.compile(r"\w+|[^\w\s]")


def loops(text: str) -> bool:
    """Whether the text ends in one phrase of up to 40 words or marks, said at least four times and 12 words long."""
    tokens = TOKEN.findall(text.lower())
    for period in range(1, min(LONGEST_PERIOD, len(tokens) // REPEATS) + 1):
        phrase = tokens[-period:]
        if not any(token[0].isalnum() for token in phrase):
            continue
        repeats = 1
        while tokens[-(repeats + 1) * period : -repeats * period] == phrase:
            repeats += 1
        if repeats >= REPEATS and repeats * period >= SHORTEST_LOOP:
            return True
    return False
