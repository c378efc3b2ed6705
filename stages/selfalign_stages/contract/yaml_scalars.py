"""What a YAML scalar means: text, number, truth value or null, exactly as kubectl reads it. Pure.

YAML 1.1 and 1.2 disagree about `0777`, `0o17`, `1e3`, `yes` and dates, and every library has a mixture of its own. The
mixture that counts for a manifest is sigs.k8s.io/yaml, with which kubectl and the API server turn YAML into JSON, and
whose results on some hundred scalars are in `tests/stages/contract/test_yaml_scalars.py` (measured with v1.4.0, of
Kubernetes 1.31 to 1.33). Two of them surprise: a leading zero means octal, and `y` and `n` are truth values.
"""

import math
import re

TAG = "tag:yaml.org,2002:"
"""What `!!` stands for."""
TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "null": (type(None),),
}
"""Tags that a scalar may carry beside `!!str`, and the types that its text must then have."""
CONSTANTS: dict[str, bool | float | None] = (
    {word: True for name in ("y", "yes", "true", "on") for word in (name, name.capitalize(), name.upper())}
    | {word: False for name in ("n", "no", "false", "off") for word in (name, name.capitalize(), name.upper())}
    | dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan)
    | {f"{sign}{word}": math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")}
    | dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf)
)
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<x>[0-9a-fA-F]+)|0[bB](?P<b>[01]+)|0[oO]?(?P<o>[0-7]+)|(?P<d>0|[1-9][0-9]*))"
)
_BASES = {"x": 16, "b": 2, "o": 8, "d": 10}
_GROUPING = re.compile(r"(?<=[0-9])_(?=[0-9])")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_LEAST, _MOST = -(2**63), 2**64 - 1
"""Integers of Go's int64 and uint64; larger ones become floats, as in JSON."""
_WHOLE = 1e21
"""Below it, Go writes a float without fraction as an integer: `1.0` and `1e3` are valid for integer fields."""
_LONGEST_INTEGER = 100
"""Characters of the longest text that can be an int64 or uint64: 64 binary digits and a prefix, generously."""

Scalar = str | int | float | bool | None


def resolve(text: str, *, tag: str | None, plain: bool) -> Scalar:
    """Returns the value of a scalar.

    Args:
        text: its text, without quotes and with escapes replaced.
        tag: its tag in full, `!` for text, or None if it has none.
        plain: whether it is written without quotes and not as a block.

    Raises:
        ValueError: the tag is unknown, or the text is not what the tag says; the message has the remedy.
    """
    if tag is None:
        return _plain(text) if plain else text
    name = tag.removeprefix(TAG)
    if tag == "!" or name == "str":
        return text
    if not tag.startswith(TAG) or name not in TYPES:
        raise ValueError(unknown_tag(tag))
    value = _plain(text)
    # bool is a subclass of int
    if not isinstance(value, TYPES[name]) or isinstance(value, bool) is not (name == "bool"):
        raise ValueError(f"{text[:60]!r} is not what its tag !!{name} says: remove the tag, or correct the value")
    return value


def unknown_tag(tag: str) -> str:
    """The message for a tag that is not accepted.

    kubectl ignores such tags and PyYAML carries some of them out; both would be a surprise.
    """
    return f"tag {tag.replace(TAG, '!!')[:60]!r} has no meaning here: remove it"


def _plain(text: str) -> Scalar:
    if text in CONSTANTS:
        return CONSTANTS[text]
    if text[:1] not in "+-.0123456789":
        return text
    # Underscores may stand anywhere in a number but in front; after a leading point only between two digits.
    number = _GROUPING.sub("", text) if text.startswith(".") else text.replace("_", "")
    if len(number) <= _LONGEST_INTEGER and (match := _INTEGER.fullmatch(number)) is not None:
        base = next(name for name in _BASES if match[name] is not None)
        value = int(match["sign"] + match[base], _BASES[base])
        if _LEAST <= value <= _MOST:
            return value
    if _FLOAT.fullmatch(number) is None or not math.isfinite(approximate := float(number)):
        return text
    return int(approximate) if approximate.is_integer() and abs(approximate) < _WHOLE else approximate
