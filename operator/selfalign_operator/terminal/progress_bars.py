"""Progress on a terminal: one line for each stage, a bar for each step that runs, redrawn with every status."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from selfalign_operator.api.status import RunStatus, StageStatus, StepStatus
from selfalign_operator.terminal import numbers

MARKS = {
    "Succeeded": "[green]✓[/]",
    "Running": "[cyan]▸[/]",
    "Waiting": "[yellow]…[/]",
    "Failed": "[red]✗[/]",
    "Pending": "[dim]·[/]",
    "Skipped": "[dim]-[/]",
}
BAR_WIDTH = 28


class Bars:
    """Draws on the terminal between enter and exit; nothing is left of it afterwards."""

    def __init__(self, console: Console) -> None:
        # no thread of its own: processes are forked from this one
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._warned: set[str] = set()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        """Prints a line above the bars."""
        self._live.console.print(line, markup=False, highlight=False)

    def show(self, status: RunStatus) -> None:
        """Draws a status anew."""
        for warning in status.warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                self.say(f"warning: {warning}")
        self._live.update(draw(status), refresh=True)


def draw(status: RunStatus) -> Table:
    """The whole picture."""
    grid = Table.grid(padding=(0, 1))
    grid.add_row("", f"[bold]{status.phase}[/] {status.progress or ''}")
    for stage in status.stages:
        grid.add_row(MARKS[stage.state], stage.name, "", _summary(stage))
        for step in stage.steps:
            if step.state in ("Running", "Waiting", "Failed"):
                grid.add_row("", f"  {step.name}", _bar(step), _detail(step))
    return grid


def _summary(stage: StageStatus) -> str:
    if stage.state != "Succeeded":
        return ""
    if stage.cache == "Hit":
        return "[dim]in the store already[/]"
    kept = f", {numbers.amount(stage.kept or 0)} of {numbers.amount(stage.rows)} rows kept" if stage.rows else ""
    return f"[dim]{numbers.duration(stage.seconds)}{kept}[/]"


def _bar(step: StepStatus) -> ProgressBar:
    told = step.progress
    if told is None or told.total <= 0:
        return ProgressBar(total=1, completed=0, width=BAR_WIDTH)
    return ProgressBar(total=told.total, completed=told.done, width=BAR_WIDTH)


def _detail(step: StepStatus) -> str:
    told = step.progress
    if step.state != "Running":
        return step.state.lower()
    if told is None or told.total <= 0:
        return "starts"
    rate = f", {numbers.amount(told.rate)}/s" if told.rate else ""
    eta = f", {numbers.duration(told.eta)} left" if told.eta is not None else ""
    return f"{numbers.amount(told.done)}/{numbers.amount(told.total)} {told.unit}{rate}{eta}"
