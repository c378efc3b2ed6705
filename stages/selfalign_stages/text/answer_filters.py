"""Reasons to reject a generated answer that its text alone gives: generation loops and canned refusals."""

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


OPENING = re.compile(
    r"^\W*(i\W?m sorry|i am sorry|sorry\b|i apologi[sz]e|unfortunately,? i|as an ai\b|"
    r"i (cannot|can\W?t|can not|am unable to|am not able to|won\W?t|will not) (help|assist|answer|comply|provide|do))",
    re.IGNORECASE,
)
JUSTIFYING = frozenset(
    {"ethical", "candor", "static", "dated knowledge", "clarification", "question assessment", "operational"}
)
"""Principles under which declining is a right answer."""


def refuses(answer: str) -> bool:
    """Whether the answer opens by declining or apologising."""
    return OPENING.match(answer) is not None


def unjustified(answer: str, *, rules: frozenset[str]) -> bool:
    """Whether the answer refuses though its thought names no principle that would ask for it."""
    return refuses(answer) and not rules & JUSTIFYING
