"""Strict JSON, for every document that someone else may have written: indexes, configurations, rows, server answers.

Python's `json` is more generous than the standard and less careful than its callers need: it accepts NaN, keeps the
last of two equal keys, returns texts that cannot be encoded as UTF-8, and raises RecursionError for a file of brackets.
Each of those turns up later, as a crash far from the file that caused it. `loads` refuses them where they are read,
with ValueError and nothing else, so that a caller has one exception to give words to.

The standard leaves duplicate keys, depth and the range of numbers to implementations and recommends what is required
here (RFC 8259, sections 4 and 9; RFC 7493, I-JSON).
"""

import json
import math
import re
from typing import Any, NoReturn

MAX_DEPTH = 100
"""Most lists and mappings within each other. Manifests, model configurations and image indexes have fewer than 20, and
what reads them afterwards may recurse: Python's own limit is 1,000 frames, shared with all callers."""
MAX_DIGITS = 4300
"""Most digits of an integer: Python's default, beyond which converting takes quadratic time (CVE-2020-10735). Checked
here, because the environment can switch Python's off."""
EXCERPT = 60
"""Characters of a wrong key or number in a message: enough to find it in the file."""
BYTE_ORDER_MARK = "\ufeff"

_TEXT = r'"(?:[^"\\]++|\\.)*+"?'
"""A text in quotes. Possessive quantifiers: a text without end costs one pass, not one per quote."""
_TOKEN = re.compile(rf"{_TEXT}|[-+.\w]++", re.DOTALL)
_BRACKET = re.compile(rf'(?:[^"\[\]{{}}]++|{_TEXT})*+([\[\]{{}}])', re.DOTALL)
"""The next bracket outside of texts. What is before it is skipped in one match: a vocabulary has a million tokens."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def loads(data: bytes | str, *, line: int = 1, infinities: bool = False) -> Any:
    """Parses a JSON text.

    Args:
        data: the text, or its bytes in UTF-8. A byte order mark in front is skipped (Windows editors write one).
        line: number of the first line within its file, for messages about JSON lines.
        infinities: accepts Infinity, -Infinity and NaN, which Transformers writes into config.json of some models
            (time_step_limit of Mamba 2) and reads again.

    Returns:
        dict, list, str, int, float, bool or None, as `json.loads`; floats are finite unless `infinities`, texts can be
        encoded as UTF-8.

    Raises:
        ValueError: not JSON or not UTF-8, a duplicate key, more than MAX_DEPTH levels, NaN or an infinity, a number out
            of range, or half of a surrogate pair. The message names line and column where they are known, and is worded
            to follow the name of the file.
    """
    text = decode(data).removeprefix(BYTE_ORDER_MARK)
    _check_depth(text, line)
    constant = float if infinities else _refuse
    try:
        value = json.loads(
            text, object_pairs_hook=_mapping, parse_constant=constant, parse_int=_integer, parse_float=_float
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"{_place(text, error.pos, line)}not JSON: {error.msg}") from None
    except _Literal as error:
        raise ValueError(f"{_place(text, _position(text, error.literal), line)}{error}") from None
    # Only an escape can have brought one in: `decode` has refused those in the text itself.
    if "\\u" in text:
        _check_texts(value)
    return value


def decode(data: bytes | str) -> str:
    """Decodes UTF-8.

    Raises:
        ValueError: not UTF-8, or a text that cannot be written as UTF-8 because it contains half of a surrogate pair.
    """
    if isinstance(data, str):
        if (found := _SURROGATE.search(data)) is not None:
            raise ValueError(f"{_place(data, found.start(), 1)}{_half(found.group())}")
        return data
    try:
        return bytes(data).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}: save it as UTF-8") from None


def check_text(text: str) -> None:
    """Refuses half of a surrogate pair, which UTF-8, and therefore a file or an API server, cannot hold.

    Raises:
        ValueError: the text contains one.
    """
    if (found := _SURROGATE.search(text)) is not None:
        raise ValueError(_half(found.group()))


class _Literal(ValueError):
    """A number or name that JSON does not have, or that is out of range; its place is looked up when it is reported."""

    def __init__(self, literal: str, message: str) -> None:
        super().__init__(message)
        self.literal = literal


def _check_depth(text: str, line: int) -> None:
    """Counts brackets before parsing, since the parser recurses."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:  # most documents: no need to look at their texts
        return
    depth = 0
    for bracket in _BRACKET.finditer(text):
        depth += 1 if bracket[1] in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"{_place(text, bracket.start(1), line)}nested in more than {MAX_DEPTH} levels")


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        known: set[str] = set()
        duplicate = next(key for key, _ in pairs if key in known or known.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"duplicate key {duplicate[:EXCERPT]!r}: keep one of them")
    return mapping


def _refuse(literal: str) -> NoReturn:
    raise _Literal(literal, f"{literal} is no JSON value: write a number, or null")


def _integer(literal: str) -> int:
    if len(literal) > MAX_DIGITS:
        raise _Literal(literal, f"an integer of {len(literal)} characters: write at most {MAX_DIGITS} digits")
    return int(literal)


def _float(literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        raise _Literal(literal, f"{literal[:EXCERPT]} is out of range: numbers have 64 bits")
    return value


def _check_texts(value: Any) -> None:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            check_text(value)
        elif isinstance(value, dict):
            waiting += value.keys()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _half(character: str) -> str:
    return f"\\u{ord(character):04x} is half of a surrogate pair and no character: write the character itself"


def _position(text: str, literal: str) -> int | None:
    """Where a literal first stands outside of texts: there the parser stopped, since it reads from left to right."""
    return next((token.start() for token in _TOKEN.finditer(text) if token.group() == literal), None)


def _place(text: str, position: int | None, first_line: int) -> str:
    """A position as editors count it, ready to be followed by a message."""
    if position is None:
        return ""
    column = position - text.rfind("\n", 0, position)
    return f"line {first_line + text.count(chr(10), 0, position)}, column {column}: "
