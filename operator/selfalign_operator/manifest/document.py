"""Limits on a parsed manifest before any field is checked, and the notation of field paths. Pure.

YAML can express values that JSON, and therefore an API server, cannot hold: NaN, infinities, and aliases that contain
themselves. Aliases can also multiply (a "billion laughs" file of a few lines expands to gigabytes). The document is
converted to JSON later, which would crash or exhaust memory on them, so they are rejected here, by path.
"""

import math
from typing import Any

from selfalign_stages.contract.task import Problem

MAX_VALUES = 100_000
"""Upper bound on the values of a manifest, aliases expanded. A real one has a few hundred."""


def check_values(document: Any) -> list[Problem]:
    """Checks every value of a parsed document.

    The traversal follows aliases, so it sees the document as JSON would hold it. It is iterative and counts as it goes:
    neither deep nesting nor multiplying aliases cost more than MAX_VALUES steps.

    Args:
        document: dicts, lists and scalars of the YAML parser.

    Returns:
        One problem for each NaN or infinity. For a cycle, or too many values, that one problem alone: the rest of such
        a document is not worth reading.
    """
    problems: list[Problem] = []
    # path, value, and the ids of the containers around it, which a cycle would enter a second time
    stack: list[tuple[str, Any, frozenset[int]]] = [("", document, frozenset())]
    count = 0
    # a stack and no recursion: MAX_VALUES is then the only limit on depth, and it ends in a message, not in a crash
    while stack:
        path, value, ancestors = stack.pop()
        count += 1
        if count > MAX_VALUES:
            message = f"more than {MAX_VALUES} values, because aliases multiply: write the values out"
            return [Problem(field="", message=message)]
        if isinstance(value, float) and not math.isfinite(value):
            problems.append(Problem(field=path, value=str(value), message=f"{value} is not finite: write a number"))
        if isinstance(value, dict | list):
            if id(value) in ancestors:
                return [Problem(field=path, message="an alias contains itself: write the value out")]
            within = ancestors | {id(value)}
            stack += [(join(path, key), inner, within) for key, inner in entries(value)]
    return problems


def entries(value: dict[str, Any] | list[Any]) -> list[tuple[str | int, Any]]:
    """Returns keys or indices with their values."""
    return list(value.items()) if isinstance(value, dict) else list(enumerate(value))


def join(path: str, key: str | int) -> str:
    """Appends a key or an index to a field path: `spec` and "seed" to `spec.seed`, `gates` and 0 to `gates[0]`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key
