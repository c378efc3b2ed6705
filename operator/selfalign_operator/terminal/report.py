"""Tables at the end of `selfalign run`: stages and steps, and the evaluation with its confidence intervals.

The same tables go to a terminal and to a file. A file gets a fixed width, so that a report can be compared with `diff`
whatever terminal the run was started in.
"""

from collections.abc import Mapping, Sequence
from typing import TextIO

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from selfalign_operator.api.status import EvaluationStatus, RunStatus, StageStatus, StepStatus
from selfalign_operator.terminal import numbers
from selfalign_operator.terminal.plain import plain

PLAIN_WIDTH = 120
"""Columns where the output is no terminal: four variants with intervals fit."""
VARIANTS = ("base", "prompted", "engraved", "cloned")
"""Order of the evaluation's columns: each variant after the one that it is derived from."""


def write(out: TextIO, status: RunStatus) -> None:
    """Writes the tables, as wide as the terminal, or PLAIN_WIDTH columns if `out` is none.

    Args:
        out: where to write, usually standard output.
        status: the last status; the evaluation is left out if there was none.
    """
    console = Console(file=out, width=None if out.isatty() else PLAIN_WIDTH, highlight=False)
    tables: list[RenderableType] = [stages(status.stages)]
    if status.evaluation is not None:
        tables.append(evaluation(status.evaluation))
    for table in tables:
        console.print(table)
        console.print()


def stages(stage_statuses: Sequence[StageStatus]) -> Table:
    """Builds the table of stages; a stage of several steps has a row of its own and one for each step."""
    table = Table(title="Stages", title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("stage")
    table.add_column("state")
    table.add_column("cache")
    for name in ("rows", "kept", "wall"):
        table.add_column(name, justify="right")
    table.add_column("rejected")
    for stage in stage_statuses:
        if len(stage.steps) == 1:
            table.add_row(plain(stage.name), *_cells(stage.steps[0]))
            continue
        # no counts here: rows of different steps are different things and do not add up
        cells = (stage.name, stage.state, stage.cache or "", "", "", numbers.duration(stage.seconds), "")
        table.add_row(*map(plain, cells))
        for step in stage.steps:
            table.add_row(plain(f"  {step.name.partition('-')[2]}"), *_cells(step), style="dim")
    return table


def _cells(step: StepStatus) -> tuple[Text, ...]:
    rows = "" if step.rows is None else numbers.amount(step.rows)
    kept = "" if step.kept is None else numbers.amount(step.kept)
    wall, rejected = numbers.duration(step.seconds), numbers.rejects(step.rejected)
    return tuple(map(plain, (step.state, step.cache or "", rows, kept, wall, rejected)))


def evaluation(result: EvaluationStatus) -> Table:
    """Builds the table of metrics: a row for each metric, a column for each evaluated variant.

    Args:
        result: metrics as VARIANT.SUITE.METRIC; a metric with .low and .high beside it is shown with that interval.
    """
    table = Table(title="Evaluation", title_justify="left", box=None, pad_edge=False, header_style="bold")
    values: dict[str, dict[str, str]] = {}  # SUITE.METRIC -> variant -> text
    for name, value in result.metrics.items():
        variant, _, metric = name.partition(".")
        # bounds appear within the cell of their metric
        if not metric.endswith((".low", ".high")):
            values.setdefault(metric, {})[variant] = _with_interval(result.metrics, name, value)
    # a variant that was not evaluated, such as cloned where cloning is disabled, gets no empty column
    variants = [variant for variant in VARIANTS if any(variant in row for row in values.values())]
    table.add_column("metric")
    for variant in variants:
        table.add_column(variant, justify="right")
    for metric, row in values.items():
        if any(variant in row for variant in variants):
            table.add_row(plain(metric), *(plain(row.get(variant, "")) for variant in variants))
    return table


def _with_interval(metrics: Mapping[str, float], name: str, value: float) -> str:
    text = _number(value)
    low, high = metrics.get(f"{name}.low"), metrics.get(f"{name}.high")
    return text if low is None or high is None else f"{text} [{_number(low)}, {_number(high)}]"


def _number(value: float) -> str:
    """Three decimals for shares between 0 and 1, one for counts such as words per answer."""
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
