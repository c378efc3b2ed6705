"""Plain lines for logs and pipes: one when a step starts, one when it ends, one now and then between."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from selfalign_operator.api.status import RunStatus, StepStatus
from selfalign_operator.terminal import numbers

QUIET_SECONDS = 15.0


@dataclass
class Lines:
    """Writes what has changed since the last status."""

    write: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    _said: dict[str, str] = field(default_factory=dict)
    _spoke: dict[str, float] = field(default_factory=dict)

    def say(self, line: str) -> None:
        """Writes a line."""
        self.write(line)

    def show(self, status: RunStatus) -> None:
        """Writes what is new."""
        if status.phase == "Preflight":
            self._once("resolves inputs and looks for finished steps")
        for warning in status.warnings:
            self._once(f"warning: {warning}")
        for stage in status.stages:
            for step in stage.steps:
                self._step(step)

    def _once(self, line: str) -> None:
        if line not in self._said:
            self._said[line] = line
            self.write(line)

    def _step(self, step: StepStatus) -> None:
        before, now = self._said.get(step.name, "Pending"), f"{step.state}-{step.attempt}"
        if step.state in ("Pending", "Skipped"):
            return
        if before != now:
            self._said[step.name] = now
            self._spoke[step.name] = self.clock()
            self.write(f"{step.name}: {describe(step)}")
        elif (
            step.progress is not None and step.progress.total and self.clock() - self._spoke[step.name] >= QUIET_SECONDS
        ):
            self._spoke[step.name] = self.clock()
            self.write(f"{step.name}: {describe(step)}")


def describe(step: StepStatus) -> str:
    """A step in a few words."""
    if step.state == "Running":
        return _progress(step) if step.progress is not None else f"started{_again(step)}"
    if step.state == "Waiting":
        return f"attempt {step.attempt} ended early, is tried again"
    if step.state == "Failed":
        return f"failed: {step.message or 'see its log'}"
    if step.cache == "Hit":
        return "in the store already"
    kept = f", {numbers.amount(step.kept or 0)} of {numbers.amount(step.rows)} rows kept" if step.rows else ""
    return f"done in {numbers.duration(step.seconds)}{kept}"


def _again(step: StepStatus) -> str:
    return f" (attempt {step.attempt})" if step.attempt > 1 else ""


def _progress(step: StepStatus) -> str:
    told = step.progress
    assert told is not None
    text = f"{numbers.amount(told.done)} of {numbers.amount(told.total)} {told.unit}"
    text += f", {numbers.amount(told.rate)}/s" if told.rate else ""
    return text + (f", {numbers.duration(told.eta)} left" if told.eta is not None else "")
