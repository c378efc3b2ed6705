"""Strings with a form: durations, quantities, names. Each refusal names the right form."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from selfalign_operator.api.quantity import QUANTITY_PATTERN, parse_quantity

DURATION_PATTERN = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"
LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
ASSISTANT_NAME_PATTERN = r"^[^\s#{}]([^\n\r\t#{}]*[^\s#{}])?$"


def seconds(duration: str) -> int:
    """Seconds in a duration such as 1h30m."""
    found = re.fullmatch(DURATION_PATTERN, duration)
    if not duration or found is None:
        raise ValueError(f"{duration!r} is no duration")
    hours, minutes, rest = (int(part[:-1]) if part else 0 for part in found.groups())
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


Duration = Annotated[
    str,
    AfterValidator(_check_duration),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "minLength": 2, "maxLength": 32}),
]
Quantity = Annotated[
    str | int,
    AfterValidator(_check_quantity),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": QUANTITY_PATTERN}),
]
AssistantName = Annotated[
    str,
    Field(min_length=1, max_length=40),
    AfterValidator(_check_assistant_name),
    Field(json_schema_extra={"pattern": ASSISTANT_NAME_PATTERN}),
]
RunName = Annotated[
    str,
    Field(min_length=1, max_length=52),
    AfterValidator(_check_label),
    Field(json_schema_extra={"pattern": LABEL_PATTERN}),
]
ObjectName = Annotated[str, Field(min_length=1, max_length=253, description="name of an object in the run's namespace")]
