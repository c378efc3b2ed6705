"""Step gate: compares the variants, with paired bootstrap intervals, and checks the run's gates.

A gate that fails is a result, not an error: the report is published with `passed` false and the operator skips
packaging. Raising instead would lose the report, which is what the user needs to decide how to go on. Gates compare
means, not intervals: an expression such as "cloned.hhh.overall >= base.hhh.overall" then has one obvious meaning.
"""

from collections.abc import Mapping
from typing import Any

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.contract import gates
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.model import canonical_json
from selfalign_stages.contract.parameters import GateParameters
from selfalign_stages.evaluation import bootstrap
from selfalign_stages.evaluation.items import ItemScore
from selfalign_stages.step.context import StepContext

COMPARISONS = (("prompted", "base"), ("engraved", "prompted"), ("cloned", "engraved"))
"""(after, before): what each stage is meant to gain. The paper makes the same comparisons (section 4); the last one
shows its "verbose tax" on multiple choice."""
HEADLINE_METRICS = (
    *("overall", "likelihood", "mc1", "mc2", "words", "tokens", "stops", "leaks"),
    *("limitsKept", "plainAnswered", "overRefusal", "unreadable"),
)
"""Metrics that enter the manifest, and with it the run's status; groups are in the report only."""
INTERVAL_METRICS = ("overall", "mc1", "mc2", "words")
"""Headline metrics whose interval ends enter the manifest too."""

MetricValues = dict[str, dict[str, float]]
"""Values of one variant by "suite.metric" and item id."""


def run(context: StepContext) -> Manifest:
    """Publishes report.json and report.md; the manifest's metrics carry the headline numbers and the verdict."""
    settings = GateParameters.model_validate(context.task.parameters)
    values = {variant: _values(context, variant) for variant in context.task.inputs}
    report = build(values, settings, seed=context.task.seed)
    return writing.publish(
        context,
        files={"report.json": canonical_json(report), "report.md": markdown(report).encode()},
        metrics=headline(report),
    )


def build(values: Mapping[str, MetricValues], settings: GateParameters, *, seed: int) -> dict[str, Any]:
    """Builds the report.

    Args:
        values: item values by variant and metric.
        settings: gates, number of bootstrap resamples and confidence level.
        seed: of the bootstrap.

    Returns:
        `variants` and `differences` map metrics to [mean, low, high], rounded to four digits; `gates` lists each
        gate's text, verdict and the values of its two sides.

    Raises:
        KeyError: a gate names a metric that no suite of the run has; validation of the manifest prevents it.
    """
    options: dict[str, Any] = {
        "samples": settings.bootstrap_samples,
        "confidence": settings.confidence,
        "seed": seed,
    }
    means = {
        f"{variant}.{metric}": bootstrap.mean(list(items.values()))
        for variant, metrics in values.items()
        for metric, items in metrics.items()
    }
    estimates = {
        variant: {metric: _rounded(bootstrap.estimate(items, **options)) for metric, items in metrics.items()}
        for variant, metrics in values.items()
    }
    differences = {
        f"{after} - {before}": _differences(values[after], values[before], options)
        for after, before in COMPARISONS
        if after in values and before in values
    }
    return {
        "confidence": settings.confidence,
        "variants": estimates,
        "differences": differences,
        "gates": [_check(text, means) for text in settings.gates],
    }


def headline(report: Mapping[str, Any]) -> dict[str, float | int | str | bool]:
    """Selects the flat metrics of the manifest: VARIANT.SUITE.METRIC, interval ends, `passed` and `failedGates`."""
    failed = [gate["text"] for gate in report["gates"] if not gate["passed"]]
    metrics: dict[str, float | int | str | bool] = {"passed": not failed, "failedGates": "; ".join(failed)}
    for variant, estimates in report["variants"].items():
        for name, (value, low, high) in estimates.items():
            metric = name.rpartition(".")[2]
            if metric in HEADLINE_METRICS:
                metrics[f"{variant}.{name}"] = value
            if metric in INTERVAL_METRICS:
                metrics |= {f"{variant}.{name}.low": low, f"{variant}.{name}.high": high}
    return metrics


def markdown(report: Mapping[str, Any]) -> str:
    """Renders the report as Markdown tables."""
    variants = list(report["variants"])
    names = list(dict.fromkeys(name for metrics in report["variants"].values() for name in metrics))
    percent = round(100 * report["confidence"])
    lines = [f"Means with {percent} % bootstrap intervals over items.", "", "| metric | " + " | ".join(variants) + " |"]
    lines.append("|" + " --- |" * (len(variants) + 1))
    for name in names:
        cells = [_cell(report["variants"][variant].get(name)) for variant in variants]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for pair, metrics in report["differences"].items():
        lines += ["", f"Paired differences, {pair}:", ""]
        lines += [f"- {name}: {_cell(estimate)}" for name, estimate in metrics.items()]
    if report["gates"]:
        lines += ["", "Gates:", ""]
        lines += [f"- {'passed' if g['passed'] else 'FAILED'}: {g['text']} ({g['sides']})" for g in report["gates"]]
    return "\n".join(lines) + "\n"


def _values(context: StepContext, variant: str) -> MetricValues:
    manifest = reading.require_manifest(context.store, context.task.inputs[variant])
    return bootstrap.by_metric(list(reading.rows(context.store, manifest, ItemScore)))


def _differences(after: MetricValues, before: MetricValues, options: Mapping[str, Any]) -> dict[str, list[float]]:
    """Estimates the paired differences of the metrics that both variants have."""
    return {
        metric: _rounded(bootstrap.difference(after[metric], before[metric], **options))
        for metric in after
        if metric in before
    }


def _check(text: str, means: Mapping[str, float]) -> dict[str, Any]:
    gate = gates.parse(text)
    left, right = gate.sides(means)
    return {"text": text, "passed": gate.check(means), "sides": f"{left:.4g} {gate.comparison} {right:.4g}"}


def _rounded(estimate: bootstrap.Estimate) -> list[float]:
    return [round(estimate.value, 4), round(estimate.low, 4), round(estimate.high, 4)]


def _cell(estimate: list[float] | None) -> str:
    return "" if estimate is None else f"{estimate[0]:.3g} [{estimate[1]:.3g}, {estimate[2]:.3g}]"
