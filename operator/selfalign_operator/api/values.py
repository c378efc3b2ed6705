"""Strings with a grammar: durations, times, quantities, names. Python and the API server check the same patterns.

Each type carries its pattern into the CRD, and a validator of its own whose message shows the right form: a bare "does
not match pattern" would leave the user to read a regular expression.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from selfalign_operator.api.quantity import QUANTITY_PATTERN, parse_quantity

DURATION_PATTERN = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"
"""The subset of Go's durations that kubectl users write: whole hours, minutes and seconds, in that order."""
LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
"""An RFC 1123 label. Run names become parts of Job names, label values and pod host names."""
ASSISTANT_NAME_PATTERN = r"^[^\s#{}]([^\n\r\t#{}]*[^\s#{}])?$"
"""One line without `#`, which starts headings of the conversation format, and without braces, which mark placeholders
in principle packs."""
RUN_NAME_LIMIT = 52
"""Longest run name in characters, as for CronJobs: labels hold it (63 at most), and names of Jobs begin with it."""
OBJECT_NAME_LIMIT = 253
"""Longest Kubernetes object name in characters (RFC 1123 subdomain)."""


def seconds(duration: str) -> int:
    """Converts a duration such as 1h30m to seconds.

    Raises:
        ValueError: the text is empty or has another form.
    """
    match = re.fullmatch(DURATION_PATTERN, duration)
    if not duration or match is None:
        raise ValueError(f"{duration!r} is no duration")
    hours, minutes, rest = (int(part[:-1]) if part else 0 for part in match.groups())
    return int(timedelta(hours=hours, minutes=minutes, seconds=rest).total_seconds())


def _check_duration(text: str) -> str:
    try:
        if seconds(text) > 0:
            return text
    except ValueError:
        pass
    raise PydanticCustomError(
        "duration", "not a duration: write whole hours, minutes and seconds above zero with h, m, s, such as 10m or 72h"
    )


def _check_quantity(value: str | int) -> str | int:
    try:
        parse_quantity(value)
    except ValueError:
        raise PydanticCustomError(
            "quantity", "not a quantity: write a number with a Kubernetes suffix, such as 500m, 8, 40G or 40Gi (not GB)"
        ) from None
    return value


def _check_assistant_name(text: str) -> str:
    if not text.isprintable() or not re.fullmatch(ASSISTANT_NAME_PATTERN, text):
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
    # the pattern alone would admit the empty string, hence minLength
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "minLength": 2, "maxLength": 32}),
]
Quantity = Annotated[
    str | int,
    AfterValidator(_check_quantity),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "pattern": QUANTITY_PATTERN,
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
ObjectName = Annotated[str, Field(min_length=1, max_length=OBJECT_NAME_LIMIT)]
