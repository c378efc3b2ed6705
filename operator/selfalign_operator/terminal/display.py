"""Interface between the local runner and the terminal.

The runner does not know whether it writes to a terminal or to a log; `progress_bars.Bars` and `progress_lines.Lines`
implement this protocol, and tests implement it with a list. A protocol instead of a base class: the implementations
share no code, only words (`numbers`).
"""

from typing import Protocol

from selfalign_operator.api.status import RunStatus


class Display(Protocol):
    """Shows a run to a person.

    Implementations must tolerate calls in any order and repeated statuses: the runner calls `show` whenever it has
    planned, whether or not anything has changed.
    """

    def show(self, status: RunStatus) -> None:
        """Shows the current status. Called up to once a second and after every change."""

    def print_line(self, line: str) -> None:
        """Prints one line that stays visible: plain text, no markup, no newline."""
