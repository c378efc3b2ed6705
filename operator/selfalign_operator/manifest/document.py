"""Limits on the values of a parsed manifest, before any field is checked: what JSON or an API server cannot hold."""

import math
from typing import Any

from selfalign_stages.contract.task import Problem

MAX_VALUES = 100_000
"""A manifest has a few hundred values. More can only come from YAML aliases that multiply (a "billion laughs" file)."""


def check_values(document: Any) -> list[Problem]:
    """What JSON cannot hold: NaN, infinities, cycles, and more nodes than a manifest could need (alias bombs)."""
    problems: list[Problem] = []
    stack: list[tuple[str, Any, frozenset[int]]] = [("", document, frozenset())]
    count = 0
    while stack:
        path, value, above = stack.pop()
        count += 1
        if count > MAX_VALUES:
            return [Problem(field="", message=f"more than {MAX_VALUES} values: aliases multiply, write less")]
        if isinstance(value, float) and not math.isfinite(value):
            problems.append(Problem(field=path, value=str(value), message=f"{value} is not a number that can be used"))
        if isinstance(value, dict | list):
            if id(value) in above:
                return [Problem(field=path, message="an alias contains itself: write the value out")]
            within = above | {id(value)}
            stack += [(join(path, key), inner, within) for key, inner in entries(value)]
    return problems


def entries(value: dict[str, Any] | list[Any]) -> list[tuple[str | int, Any]]:
    """Keys or indices with their values."""
    return list(value.items()) if isinstance(value, dict) else list(enumerate(value))


def join(path: str, key: str | int) -> str:
    """A field path one step longer: spec.stages, spec.gates[0]."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key
