"""What a run ends with: tables of stages and evaluation, the image, where things lie, or why it failed."""

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console, RenderableType
from rich.table import Table

from selfalign_operator.api.status import EvaluationStatus, RunStatus, StageStatus, StepStatus
from selfalign_operator.terminal import numbers

PLAIN_WIDTH = 120
VARIANTS = ("base", "prompted", "engraved", "cloned")


def write(out: TextIO, status: RunStatus) -> None:
    """The tables, as wide as the terminal, or as a page where there is none."""
    console = Console(file=out, width=None if out.isatty() else PLAIN_WIDTH, highlight=False)
    tables: list[RenderableType] = [stages(status.stages)]
    if status.evaluation is not None:
        tables.append(evaluation(status.evaluation))
    for table in tables:
        console.print(table)
        console.print()


def stages(found: Sequence[StageStatus]) -> Table:
    """One line for each stage, one for each step where a stage has several."""
    table = Table(title="Stages", title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("stage")
    table.add_column("state")
    table.add_column("cache")
    for name in ("rows", "kept", "wall"):
        table.add_column(name, justify="right")
    table.add_column("rejected")
    for stage in found:
        if len(stage.steps) == 1:
            table.add_row(stage.name, *_cells(stage.steps[0]))
            continue
        table.add_row(stage.name, stage.state, stage.cache or "", "", "", numbers.duration(stage.seconds), "")
        for step in stage.steps:
            table.add_row(f"  {step.name.partition('-')[2]}", *_cells(step), style="dim")
    return table


def _cells(step: StepStatus) -> tuple[str, ...]:
    rows = "" if step.rows is None else numbers.amount(step.rows)
    kept = "" if step.kept is None else numbers.amount(step.kept)
    return (step.state, step.cache or "", rows, kept, numbers.duration(step.seconds), numbers.rejects(step.rejected))


def evaluation(found: EvaluationStatus) -> Table:
    """Metrics by variant, with intervals where the gate step gave them."""
    table = Table(title="Evaluation", title_justify="left", box=None, pad_edge=False, header_style="bold")
    values: dict[str, dict[str, str]] = {}
    for name, value in found.metrics.items():
        variant, _, metric = name.partition(".")
        if not metric.endswith((".low", ".high")):
            values.setdefault(metric, {})[variant] = _interval(found.metrics, name, value)
    variants = [variant for variant in VARIANTS if any(variant in row for row in values.values())]
    table.add_column("metric")
    for variant in variants:
        table.add_column(variant, justify="right")
    for metric, row in values.items():
        if any(variant in row for variant in variants):
            table.add_row(metric, *(row.get(variant, "") for variant in variants))
    return table


def _interval(metrics: dict[str, float], name: str, value: float) -> str:
    text = _number(value)
    low, high = metrics.get(f"{name}.low"), metrics.get(f"{name}.high")
    return text if low is None or high is None else f"{text} [{_number(low)}, {_number(high)}]"


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
