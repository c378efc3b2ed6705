"""What SIGINT (Ctrl-C) and SIGTERM do to `selfalign run`.

Before anything has begun, a signal ends the command at once. While steps run, it is counted, and the runner stops them:
a handler that acted itself would interrupt a decision in the middle.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Interrupt:
    """Counts requests to stop: the first stops the steps with SIGTERM, the second kills them.

    Attributes:
        times: signals received so far.
        first: number of the first signal; 0 before.
    """

    times: int = 0
    first: int = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Counts a signal. Does nothing else: a signal handler may interrupt any line of the program."""
        self.first = self.first or number
        self.times += 1

    @property
    def exit_code(self) -> int:
        """The exit code of a command that the first signal ended, as shells report it: 130 or 143."""
        return _exit_code(self.first)


@contextmanager
def interrupts() -> Iterator[Interrupt]:
    """Counts SIGINT and SIGTERM within the context, and restores the previous handlers afterwards."""
    interrupt = Interrupt()
    with _handled_by(interrupt):
        yield interrupt


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Lets SIGINT and SIGTERM end this process with 130 or 143 within the context, which has nothing to lose."""
    with _handled_by(lambda number, _: os._exit(_exit_code(number))):
        yield


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    previous = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def _exit_code(number: int) -> int:
    return 128 + number
