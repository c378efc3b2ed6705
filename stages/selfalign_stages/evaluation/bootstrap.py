"""Averages outcomes to metrics, and bootstraps their intervals; differences are paired by item."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from selfalign_stages.evaluation.items import ItemScore


@dataclass(frozen=True)
class Estimate:
    """A mean with its percentile interval."""

    value: float
    low: float
    high: float


def by_metric(outcomes: Sequence[ItemScore]) -> dict[str, dict[str, float]]:
    """Values by "suite.metric" and item id; groups of "overall" become metrics of their own."""
    found: dict[str, dict[str, float]] = {}
    for outcome in outcomes:
        for name, value in outcome.values.items():
            found.setdefault(f"{outcome.suite}.{name}", {})[outcome.id] = value
        if outcome.group and "overall" in outcome.values:
            found.setdefault(f"{outcome.suite}.{metric_name(outcome.group)}", {})[outcome.id] = outcome.values[
                "overall"
            ]
    return found


def metric_name(group: str) -> str:
    """A category or principle as a metric's name: lower case, words joined by underscores."""
    return "_".join("".join(c if c.isalnum() else " " for c in group.lower()).split())


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean."""
    return sum(values) / len(values)


def estimate(values: Mapping[str, float], *, samples: int, confidence: float, seed: int) -> Estimate:
    """Mean of the items' values with its percentile bootstrap interval."""
    import numpy as np

    data = np.array([values[name] for name in sorted(values)])
    draws = np.random.default_rng(Random(seed).getrandbits(64)).integers(0, len(data), size=(samples, len(data)))
    low, high = np.quantile(data[draws].mean(axis=1), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value=float(data.mean()), low=float(low), high=float(high))


def difference(
    after: Mapping[str, float], before: Mapping[str, float], *, samples: int, confidence: float, seed: int
) -> Estimate:
    """Mean paired difference over the items that both have."""
    paired = {name: after[name] - before[name] for name in after.keys() & before.keys()}
    return estimate(paired, samples=samples, confidence=confidence, seed=seed)
