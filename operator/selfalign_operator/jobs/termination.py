"""Reads the termination messages of stage containers, which are untrusted input. Pure.

Whoever may set a run's image or create pods in its namespace can write any message, and a container that was killed
has the end of its log in its place. What is read here goes on into conditions and status, where the API server would
refuse some values that are valid JSON; a refused status would keep the whole run from being reconciled. Such a message
counts as no message.
"""

import re
from typing import Any, TypeVar

from selfalign_stages.contract.model import Model
from selfalign_stages.contract.task import Failure, PreflightResult, Result
from selfalign_stages.contract.termination_message import decode

REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]{0,126}[A-Za-z0-9_])?")
"""Reasons that a condition may have (meta/v1 Condition, whose schema also limits them to 128 characters)."""
LARGEST_INTEGER = 2**63 - 1
"""Integers of the API are int64."""

Message = TypeVar("Message", bound=Model)


def condition_reason(text: str, *, default: str) -> str:
    """Returns a reason that a condition may have.

    Kubelets, runtimes and schedulers choose reasons freely. OutOfnvidia.com/gpu is one that the API server would
    refuse, and with it the whole status.

    Args:
        text: the reason as another component reports it.
        default: the reason in place of one that a condition must not have.
    """
    return text if REASON.fullmatch(text) else default


def read_failure(text: str) -> Failure | None:
    """Parses the message of a failed process; None if it is no usable Failure, as the end of a log."""
    failure = _read(text, Failure)
    return failure if failure is not None and REASON.fullmatch(failure.reason) else None


def read_result(text: str) -> Result | None:
    """Parses the message of a step that succeeded; None if it is no usable Result."""
    return _read(text, Result)


def read_preflight(text: str) -> PreflightResult | None:
    """Parses the answer of preflight; None if it is no usable PreflightResult."""
    return _read(text, PreflightResult)


def _read(text: str, message_type: type[Message]) -> Message | None:
    try:
        # Half of a surrogate pair, which JSON can escape, has no UTF-8.
        message = message_type.model_validate_json(decode(text.encode()))
        return message if _fits_api(message.to_dict()) else None
    except ValueError:
        return None


def _fits_api(value: Any) -> bool:
    """Whether every integer in a JSON value is one that the API server accepts.

    Floats need no check: Model refuses NaN and infinities, and writes those in a field of any type as null.
    """
    if isinstance(value, dict):
        return all(map(_fits_api, value.values()))
    if isinstance(value, list):
        return all(map(_fits_api, value))
    return not isinstance(value, int) or -LARGEST_INTEGER - 1 <= value <= LARGEST_INTEGER
