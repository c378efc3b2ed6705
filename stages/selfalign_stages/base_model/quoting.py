"""Shows values that others wrote in messages: names of tensors, entries of config.json, errors of parsers."""

from typing import Any

from selfalign_stages.contract.printable import printable

LONGEST = 100
"""Characters that are shown: more than any name in a published model has, and no megabyte of garbage."""


def shown(value: Any, *, longest: int = LONGEST) -> str:
    """Returns a text as it is, and any other value as Python writes it, without invisible characters and shortened."""
    text = value if isinstance(value, str) else _written(value)
    # Shortened before, so that a megabyte is not escaped, and after, since an escape has up to ten characters.
    text = printable(text[: longest + 1])
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _written(value: Any) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError):  # an integer of more digits than Python converts, or deep nesting
        return f"a value of type {type(value).__name__}"
