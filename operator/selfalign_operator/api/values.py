"""Strings with a grammar: durations, times, quantities, names. Python and the API server check the same patterns.

Each type carries its pattern into the CRD, and a validator of its own whose message shows the right form: a bare "does
not match pattern" would leave the user to read a regular expression.
"""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from selfalign_operator.api.quantity import QUANTITY_PATTERN, parse_quantity

DURATION_PATTERN = (
    r"^([1-9][0-9]{0,4}h([0-9]{1,6}m)?([0-9]{1,8}s)?|(0h)?[1-9][0-9]{0,5}m([0-9]{1,8}s)?|(0h)?(0m)?[1-9][0-9]{0,7}s)$"
)
"""The subset of Go's durations that kubectl users write: whole hours, minutes and seconds, in that order, above zero.

Bounded to eleven years of hours, and as much of minutes and seconds: Go's own limit is 292 years, and a date so far
ahead is beyond Python's. One pattern and no code beside it, so that API server and Python accept the same texts.
"""
UNIT_SECONDS = {"h": 3600, "m": 60, "s": 1}
LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
"""An RFC 1123 label. Run names become parts of Job names, label values and pod host names."""
_NAME_CHARACTER = r"[^#{}\p{Cc}\p{Cf}\p{Co}\p{Z}]"
ASSISTANT_NAME_PATTERN = f"^{_NAME_CHARACTER}(( |{_NAME_CHARACTER})*{_NAME_CHARACTER})?$"
"""One line without `#`, which starts headings of the conversation format, and without braces, which mark placeholders
in principle packs. No controls, format characters such as bidirectional marks, private characters, and no blank but the
space, because the name is printed wherever the assistant is.

For the API server's regular expressions (RE2); Python's have no categories, hence `_check_assistant_name`. Not \\p{C},
which includes unassigned code points since Go 1.25, and whose meaning would vary with the API server's version.
"""
UNUSABLE_CATEGORIES = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp", "Zs"}
"""The categories of that pattern, with surrogates, which text of an API server cannot contain."""
SUBDOMAIN_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
"""An RFC 1123 subdomain, which names of Secrets, ConfigMaps, ServiceAccounts and queues are. Names become parts of the
API's paths, where a slash or a question mark would address something else."""
RUN_NAME_LIMIT = 52
"""Longest run name in characters, as for CronJobs: labels hold it (63 at most), and names of Jobs begin with it."""
OBJECT_NAME_LIMIT = 253
"""Longest Kubernetes object name in characters (RFC 1123 subdomain)."""


def seconds(duration: str) -> int:
    """Converts a duration such as 1h30m to seconds.

    Raises:
        ValueError: the text has another form, or is zero.
    """
    if re.fullmatch(DURATION_PATTERN, duration) is None:
        raise ValueError(f"{duration[:60]!r} is no duration")
    return sum(int(count) * UNIT_SECONDS[unit] for count, unit in re.findall(r"([0-9]+)([hms])", duration))


def _check_duration(text: str) -> str:
    try:
        seconds(text)
    except ValueError:
        raise PydanticCustomError(
            "duration",
            "not a duration: write whole hours, minutes and seconds above zero with h, m, s, such as 10m or 72h",
        ) from None
    return text


def _check_quantity(value: str | int) -> str | int:
    try:
        parse_quantity(value)
    except ValueError:
        raise PydanticCustomError(
            "quantity", "not a quantity: write a number with a Kubernetes suffix, such as 500m, 8, 40G or 40Gi (not GB)"
        ) from None
    return value


def _check_assistant_name(text: str) -> str:
    categories = {unicodedata.category(character) for character in text if character != " "}
    if text != text.strip(" ") or not text or not set("#{}").isdisjoint(text) or categories & UNUSABLE_CATEGORIES:
        raise PydanticCustomError(
            "assistant_name",
            "not a usable name: write one printable line without #, braces or blanks at its ends, such as Dromedary",
        )
    return text


def _check_label(text: str) -> str:
    if not re.fullmatch(LABEL_PATTERN, text):
        raise PydanticCustomError(
            "label", "not an RFC 1123 label: write lower case letters, digits and inner hyphens, such as my-run-7"
        )
    return text


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Time = Annotated[datetime, PlainSerializer(_rfc3339, return_type=str, when_used="json")]
"""A moment, written as Kubernetes writes metav1.Time: RFC 3339 in UTC, whole seconds."""
Duration = Annotated[
    str,
    AfterValidator(_check_duration),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "minLength": 2, "maxLength": 32}),
]
Quantity = Annotated[
    str | int,
    AfterValidator(_check_quantity),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "pattern": QUANTITY_PATTERN,
            # Of integers, since the pattern is for texts. No maximum: the API server itself refuses more than 64 bits,
            # and would give 2^63 - 1 back as another number, because it holds limits as floats.
            "minimum": 0,
            "description": "A Kubernetes quantity, such as 500m, 8 or 40Gi.",
        }
    ),
]
AssistantName = Annotated[
    str,
    Field(min_length=1, max_length=40),
    AfterValidator(_check_assistant_name),
    Field(json_schema_extra={"pattern": ASSISTANT_NAME_PATTERN}),
]
RunName = Annotated[
    str,
    Field(min_length=1, max_length=RUN_NAME_LIMIT),
    AfterValidator(_check_label),
    Field(json_schema_extra={"pattern": LABEL_PATTERN}),
]
ObjectName = Annotated[str, Field(min_length=1, max_length=OBJECT_NAME_LIMIT, pattern=SUBDOMAIN_PATTERN)]
