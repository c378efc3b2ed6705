"""Step gate: compares the variants, with paired bootstrap intervals, and checks the run's gates.

A gate that fails is a finding, not an error: the report is published with passed false and packaging does not begin.
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

STEPS_UP = (("prompted", "base"), ("engraved", "prompted"), ("cloned", "engraved"))
"""What each stage is meant to gain: the paper's own comparisons."""
SHOWN = ("overall", "likelihood", "mc1", "mc2", "words", "tokens", "stops", "leaks")
WITH_INTERVAL = ("overall", "mc1", "mc2", "words")

Values = dict[str, dict[str, float]]


def run(context: StepContext) -> Manifest:
    """Publishes report.json and report.md; metrics carry the headline numbers and the verdict."""
    settings = GateParameters.model_validate(context.task.parameters)
    values = {variant: _values(context, variant) for variant in context.task.inputs}
    report = build(values, settings, seed=context.task.seed)
    return writing.publish(
        context,
        files={"report.json": canonical_json(report), "report.md": markdown(report).encode()},
        metrics=headline(report),
    )


def build(values: Mapping[str, Values], settings: GateParameters, *, seed: int) -> dict[str, Any]:
    """All estimates by variant and metric, paired differences, and each gate with its two sides."""
    options = {"samples": settings.bootstrap_samples, "confidence": settings.confidence, "seed": seed}
    means = {
        f"{variant}.{metric}": bootstrap.mean(list(items.values()))
        for variant, metrics in values.items()
        for metric, items in metrics.items()
    }
    return {
        "confidence": settings.confidence,
        "variants": {
            variant: {metric: _rounded(bootstrap.estimate(items, **options)) for metric, items in metrics.items()}  # type: ignore[arg-type]
            for variant, metrics in values.items()
        },
        "differences": {
            f"{after} - {before}": {
                metric: _rounded(bootstrap.difference(values[after][metric], values[before][metric], **options))  # type: ignore[arg-type]
                for metric in values[after]
                if metric in values[before]
            }
            for after, before in STEPS_UP
            if after in values and before in values
        },
        "gates": [_checked(text, means) for text in settings.gates],
    }


def headline(report: Mapping[str, Any]) -> dict[str, float | int | str | bool]:
    """Flat metrics: VARIANT.SUITE.METRIC, intervals of the main ones, passed, failedGates."""
    failed = [gate["text"] for gate in report["gates"] if not gate["passed"]]
    found: dict[str, float | int | str | bool] = {"passed": not failed, "failedGates": "; ".join(failed)}
    for variant, metrics in report["variants"].items():
        for name, (value, low, high) in metrics.items():
            last = name.rpartition(".")[2]
            if last in SHOWN:
                found[f"{variant}.{name}"] = value
            if last in WITH_INTERVAL:
                found |= {f"{variant}.{name}.low": low, f"{variant}.{name}.high": high}
    return found


def markdown(report: Mapping[str, Any]) -> str:
    """The report as tables for people."""
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


def _values(context: StepContext, variant: str) -> Values:
    manifest = reading.require_manifest(context.store, context.task.inputs[variant])
    return bootstrap.by_metric(list(reading.rows(context.store, manifest, ItemScore)))


def _checked(text: str, means: Mapping[str, float]) -> dict[str, Any]:
    gate = gates.parse(text)
    left, right = gate.sides(means)
    return {"text": text, "passed": gate.check(means), "sides": f"{left:.4g} {gate.comparison} {right:.4g}"}


def _rounded(estimate: bootstrap.Estimate) -> list[float]:
    return [round(estimate.value, 4), round(estimate.low, 4), round(estimate.high, 4)]


def _cell(estimate: list[float] | None) -> str:
    return "" if estimate is None else f"{estimate[0]:.3g} [{estimate[1]:.3g}, {estimate[2]:.3g}]"
