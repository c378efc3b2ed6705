"""Progress on a terminal: one line for each stage, a bar for each active step, redrawn with every status.

Nothing of it stays after the run: the tables of `report` replace it, and a scrollback full of stale bars helps nobody.
"""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from selfalign_operator.api.status import RunStatus, StageStatus, StepStatus
from selfalign_operator.terminal import numbers
from selfalign_operator.terminal.plain import plain

MARKS = {
    "Succeeded": Text("✓", style="green"),
    "Running": Text("▸", style="cyan"),
    "Waiting": Text("…", style="yellow"),
    "Failed": Text("✗", style="red"),
    "Pending": Text("·", style="dim"),
    "Skipped": Text("-", style="dim"),
}
"""Mark of a stage by state; the shapes differ, not only the colours."""
BAR_WIDTH = 28
"""Columns of a bar; leaves room for the longest step name and the progress text on a terminal of 100 columns."""


class Bars:
    """Display for a terminal, to be used as a context manager: it owns the lower part of the screen in between."""

    def __init__(self, console: Console) -> None:
        # auto_refresh would start a thread, and a process that forks must not have another one holding locks
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._printed_warnings: set[str] = set()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def print_line(self, line: str) -> None:
        """Prints a line above the bars."""
        self._live.console.print(plain(line), highlight=False)

    def show(self, status: RunStatus) -> None:
        """Redraws the bars, and prints each new warning once."""
        for warning in status.warnings:
            if warning not in self._printed_warnings:
                self._printed_warnings.add(warning)
                self.print_line(f"warning: {warning}")
        self._live.update(draw(status), refresh=True)


def draw(status: RunStatus) -> Table:
    """Renders a status: the phase, every stage, and below each stage its running, waiting and failed steps."""
    grid = Table.grid(padding=(0, 1))
    grid.add_row("", Text.assemble(plain(status.phase, style="bold"), " ", plain(status.progress or "")))
    for stage in status.stages:
        grid.add_row(MARKS[stage.state], plain(stage.name), "", _stage_text(stage))
        for step in stage.steps:
            # finished and pending steps would be most of the rows; the stage sums them up
            if step.state in ("Running", "Waiting", "Failed"):
                grid.add_row("", plain(f"  {step.name}"), _bar(step), plain(_step_text(step)))
    return grid


def _stage_text(stage: StageStatus) -> Text:
    return plain(numbers.outcome(stage) if stage.state == "Succeeded" else "", style="dim")


def _bar(step: StepStatus) -> ProgressBar:
    progress = step.progress
    if progress is None or progress.total <= 0:  # not known yet: an empty bar
        return ProgressBar(total=1, completed=0, width=BAR_WIDTH)
    return ProgressBar(total=progress.total, completed=progress.done, width=BAR_WIDTH)


def _step_text(step: StepStatus) -> str:
    if step.state != "Running":
        return step.state.lower()
    if step.message:
        return step.message
    if step.progress is None or step.progress.total <= 0:
        return "starting"
    return numbers.progress(step.progress, step)
