"""Progress as plain lines for logs and pipes: one line when a step starts, one when it ends, a few in between.

A log must stay readable and small, so a line is written when something has changed, and progress alone at most every
QUIET_SECONDS per step.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from selfalign_operator.api.status import RunStatus, StepStatus
from selfalign_operator.terminal import numbers

QUIET_SECONDS = 15.0
"""Least time between two progress lines of a step: four per minute show that it is alive."""


@dataclass
class Lines:
    """Display that writes the difference between one status and the next.

    Attributes:
        write: writes one line, without a newline.
        clock: monotonic seconds.
    """

    write: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    _written_once: set[str] = field(default_factory=set)
    _states: dict[str, str] = field(default_factory=dict)
    """State, attempt and obstacle of each step in its newest line."""
    _written_at: dict[str, float] = field(default_factory=dict)
    """Clock time of each step's newest line."""

    def print_line(self, line: str) -> None:
        """Writes a line."""
        self.write(line)

    def show(self, status: RunStatus) -> None:
        """Writes a line for everything that has changed since the last call."""
        if status.phase == "Preflight":
            self._write_once("preflight: resolving inputs and looking up finished steps in the store")
        for warning in status.warnings:
            self._write_once(f"warning: {warning}")
        for stage in status.stages:
            for step in stage.steps:
                self._show_step(step)

    def _write_once(self, line: str) -> None:
        if line not in self._written_once:
            self._written_once.add(line)
            self.write(line)

    def _show_step(self, step: StepStatus) -> None:
        # nothing has happened to these yet, and every run starts with all of its steps pending
        if step.state in ("Pending", "Skipped"):
            return
        state = f"{step.state}-{step.attempt}-{step.message if step.state == 'Running' else ''}"
        if self._states.get(step.name) != state or self._progress_is_due(step):
            self._states[step.name] = state
            self._written_at[step.name] = self.clock()
            self.write(f"{step.name}: {describe(step)}")

    def _progress_is_due(self, step: StepStatus) -> bool:
        has_progress = step.progress is not None and step.progress.total > 0
        return has_progress and self.clock() - self._written_at[step.name] >= QUIET_SECONDS


def describe(step: StepStatus) -> str:
    """Describes the state of a step in one line, without its name."""
    if step.state == "Running":
        if step.message:
            return step.message
        if step.progress is not None:
            return numbers.progress(step.progress, step)
        return f"started (attempt {step.attempt})" if step.attempt > 1 else "started"
    if step.state == "Waiting":
        return f"attempt {step.attempt} failed, retrying"
    if step.state == "Failed":
        return f"failed: {step.message or 'see its log'}"
    return numbers.outcome(step) if step.cache == "Hit" else f"done in {numbers.outcome(step)}"
