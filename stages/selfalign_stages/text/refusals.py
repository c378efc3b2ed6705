"""Detects canned refusals and apologies in English answers."""

import re

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
