"""Keeps a status below 16 KiB whatever a run tells: long texts are cut, and what is left out is counted. Pure.

The whole texts stand in the pods' logs and in the artifacts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from selfalign_stages.contract.task import Problem

CONDITION_BYTES, HINT_BYTES = 3000, 200
"""Of the condition that explains where a run stands, and of every other message."""
PROBLEMS_BYTES, WARNINGS_BYTES, METRICS_BYTES = 3000, 1000, 4000
REASONS = 12
CUT = "..."

Item = TypeVar("Item")


def text(told: str, limit: int) -> str:
    """`told` in at most `limit` bytes of UTF-8."""
    data = told.encode()
    if len(data) <= limit:
        return told
    return data[: limit - len(CUT)].decode(errors="ignore") + CUT


def problems(found: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """The first problems; the last one then says how many more there are."""
    kept = tuple(_fitting(found, PROBLEMS_BYTES, lambda one: one.line))
    if len(kept) == len(found):
        return found
    more = f"{len(found) - len(kept)} more problems: see the log of the preflight pod"
    return (*kept, Problem(field="spec", message=more))


def warnings(found: tuple[str, ...]) -> tuple[str, ...]:
    """The first warnings."""
    return tuple(_fitting(found, WARNINGS_BYTES, str))


def metrics(found: Mapping[str, float]) -> dict[str, float]:
    """Four decimals are what the report shows; values before the ends of their intervals where not all fit."""
    rounded = {name: round(value, 4) for name, value in found.items()}
    ends = [name for name in rounded if name.endswith((".low", ".high"))]
    named = [*(name for name in rounded if name not in ends), *ends]
    kept = set(_fitting(named, METRICS_BYTES, lambda name: f'"{name}":{rounded[name]},'))
    return {name: value for name, value in rounded.items() if name in kept}


def rejected(counts: Mapping[str, int]) -> dict[str, int]:
    """The commonest reasons; the rest together as `others`, so that the sum stays."""
    if len(counts) <= REASONS:
        return dict(counts)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return dict(ranked[: REASONS - 1]) | {"others": sum(number for _, number in ranked[REASONS - 1 :])}


def _fitting(items: Iterable[Item], limit: int, written: Callable[[Item], str]) -> Iterator[Item]:
    """The first items whose texts together stay within a limit."""
    left = limit
    for item in items:
        left -= len(written(item).encode())
        if left < 0:
            return
        yield item
