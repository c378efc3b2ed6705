"""Limits on a parsed manifest before any field is checked, and the notation of field paths. Pure.

What YAML can express and JSON, and therefore an API server, cannot hold is refused here, by path: NaN, infinities, and
more levels than a parser takes, which overrides can make of a valid document. Aliases are limited where they are read
(`contract.strict_yaml`).
"""

import json
import math
from typing import Any

from selfalign_stages.contract.strict_json import MAX_DEPTH
from selfalign_stages.contract.task import Problem


def check_values(document: Any) -> list[Problem]:
    """Checks every value of a parsed document.

    Args:
        document: dicts, lists and scalars of the YAML parser.

    Returns:
        One problem for each NaN or infinity. For too many levels that one problem alone: a path of hundreds of parts
        helps nobody.
    """
    problems: list[Problem] = []
    # path, value, levels above it; a stack and no recursion, so that depth ends in a message
    stack: list[tuple[str, Any, int]] = [("", document, 0)]
    while stack:
        path, value, depth = stack.pop()
        if isinstance(value, float) and not math.isfinite(value):
            problems.append(Problem(field=path, value=str(value), message=f"{value} is not finite: write a number"))
        if isinstance(value, dict | list):
            if depth >= MAX_DEPTH:
                return [Problem(field="", message=f"nested in more than {MAX_DEPTH} levels")]
            stack += [(join(path, key), inner, depth + 1) for key, inner in entries(value)]
    return problems


def without_shared_values(value: Any) -> Any:
    """Copies a parsed value so that no part of it occurs twice: a change of one place must not change another.

    `copy.deepcopy` would keep what aliases share.
    """
    return json.loads(json.dumps(value))


def entries(value: dict[str, Any] | list[Any]) -> list[tuple[str | int, Any]]:
    """Returns keys or indices with their values."""
    return list(value.items()) if isinstance(value, dict) else list(enumerate(value))


def join(path: str, key: str | int) -> str:
    """Appends a key or an index to a field path: `spec` and "seed" to `spec.seed`, `gates` and 0 to `gates[0]`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key
