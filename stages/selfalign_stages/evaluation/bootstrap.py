"""Averages item scores to metrics with percentile bootstrap intervals; differences of variants are paired by item.

Suites have tens to hundreds of items, most of them scored 0 or 1. Resampling the items (bootstrap, Efron 1979) needs
no assumption about the distribution of their mean, and works the same for lengths and probabilities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from selfalign_stages.evaluation.items import ItemScore


@dataclass(frozen=True)
class Estimate:
    """A mean with the lower and upper end of its percentile interval."""

    value: float
    low: float
    high: float


def by_metric(scores: Sequence[ItemScore]) -> dict[str, dict[str, float]]:
    """Collects values by metric and item.

    Args:
        scores: item scores of one variant, of any number of suites.

    Returns:
        Values by "suite.metric" and item id. Each group of `overall` becomes a metric of its own, such as
        "hhh.harmless".
    """
    metrics: dict[str, dict[str, float]] = {}
    for score in scores:
        for name, value in score.values.items():
            metrics.setdefault(f"{score.suite}.{name}", {})[score.id] = value
        if score.group and "overall" in score.values:
            grouped = metrics.setdefault(f"{score.suite}.{metric_name(score.group)}", {})
            grouped[score.id] = score.values["overall"]
    return metrics


def metric_name(group: str) -> str:
    """Converts a category or principle to a metric name: lower case, words joined by underscores."""
    return "_".join("".join(c if c.isalnum() else " " for c in group.lower()).split())


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean of at least one value."""
    return sum(values) / len(values)


def estimate(values: Mapping[str, float], *, samples: int, confidence: float, seed: int) -> Estimate:
    """Estimates a mean and its percentile bootstrap interval.

    Args:
        values: values by item id; the result does not depend on their order.
        samples: number of bootstrap resamples.
        confidence: level of the interval, between 0 and 1.
        seed: of the resampling. Equal for all metrics of a report, so that a rerun gives the same report.
    """
    import numpy as np

    data = np.array([values[name] for name in sorted(values)])  # (items,)
    draws = np.random.default_rng(Random(seed).getrandbits(64)).integers(0, len(data), size=(samples, len(data)))
    means = data[draws].mean(axis=1)  # (samples, items) -> (samples,)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value=float(data.mean()), low=float(low), high=float(high))


def difference(
    after: Mapping[str, float], before: Mapping[str, float], *, samples: int, confidence: float, seed: int
) -> Estimate:
    """Estimates the mean paired difference of two variants.

    Args:
        after: values of the later variant by item id.
        before: values of the variant it is compared with; items that only one of them has are left out.
        samples: see `estimate`.
        confidence: see `estimate`.
        seed: see `estimate`.
    """
    paired = {name: after[name] - before[name] for name in after.keys() & before.keys()}
    return estimate(paired, samples=samples, confidence=confidence, seed=seed)
