"""What a runner shows a run on: a terminal or a log."""

from typing import Protocol

from selfalign_operator.api.status import RunStatus


class Display(Protocol):
    """Our own small interface between the runner and what people look at."""

    def show(self, status: RunStatus) -> None:
        """Shows a new status."""

    def say(self, line: str) -> None:
        """Adds a line that stays."""
