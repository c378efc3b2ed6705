"""Bounds the parts of a status so that the whole stays below 16 KiB: long texts are cut, omissions are counted. Pure.

Every write of a status is stored in etcd and sent to every watcher of the resource, and a run is written every few
seconds while it works. What is cut stays complete in the pods' logs and in the artifacts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from selfalign_stages.contract.counts import most_frequent
from selfalign_stages.contract.task import Problem

CONDITION_BYTES, HINT_BYTES = 3000, 200
"""Limits of a message in UTF-8 bytes: in a condition that explains the run's state, and everywhere else. A refused run
has two explaining conditions, Accepted and Stalled."""
PROBLEMS_BYTES, WARNINGS_BYTES, METRICS_BYTES = 3000, 1000, 4000
"""Limits of the lists in a status, in bytes of their items. Problems and metrics never occur together: a refused run
evaluates nothing."""
REASONS = 12
"""Reject reasons listed per step and per stage; `rejected` adds up all others."""
CUT = "..."
"""End of a text that was cut."""

Item = TypeVar("Item")


def text(value: str, limit: int) -> str:
    """Cuts a text to at most `limit` bytes of UTF-8, without splitting a character; a cut text ends with CUT."""
    data = value.encode()
    if len(data) <= limit:
        return value
    return data[: limit - len(CUT)].decode(errors="ignore") + CUT


def problems(all_problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Keeps the first problems; if some are left out, a last problem reports their number."""
    kept = tuple(_fitting(all_problems, PROBLEMS_BYTES, lambda problem: problem.line))
    if len(kept) == len(all_problems):
        return all_problems
    more = f"{len(all_problems) - len(kept)} more problems: see the log of the preflight pod"
    return (*kept, Problem(field="spec", message=more))


def warnings(all_warnings: tuple[str, ...]) -> tuple[str, ...]:
    """Keeps the first warnings."""
    return tuple(_fitting(all_warnings, WARNINGS_BYTES, str))


def metrics(values: Mapping[str, float]) -> dict[str, float]:
    """Rounds metrics to the four decimals that the report shows, and keeps as many as fit.

    Metrics come before the bounds of their confidence intervals (names that end with .low and .high), so that with
    many suites the bounds are left out first.
    """
    rounded = {name: round(value, 4) for name, value in values.items()}
    bounds = [name for name in rounded if name.endswith((".low", ".high"))]
    ranked = [*(name for name in rounded if name not in bounds), *bounds]
    kept = set(_fitting(ranked, METRICS_BYTES, lambda name: f'"{name}":{rounded[name]},'))
    return {name: value for name, value in rounded.items() if name in kept}


def rejected(counts: Mapping[str, int]) -> dict[str, int]:
    """Keeps at most REASONS reject reasons, the rarest added up, so that the total stays."""
    return dict(counts) if len(counts) <= REASONS else most_frequent(counts, REASONS - 1)


def _fitting(items: Iterable[Item], limit: int, serialise: Callable[[Item], str]) -> Iterator[Item]:
    """Yields the first items whose serialised texts together stay within `limit` bytes."""
    remaining = limit
    for item in items:
        remaining -= len(serialise(item).encode())
        if remaining < 0:
            return
        yield item
