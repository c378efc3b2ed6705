"""What SIGTERM and SIGINT do to a stage process: it ends where nothing is lost, within its grace period.

Loops that publish piece by piece ask between two pieces. Everything else, such as loading an engine, is ended where it
stands: it may take longer than the grace period, and a kill would count as a crash.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from selfalign_stages.contract.exits import Interrupted
from selfalign_stages.contract.graph import Kind

IN_ONE_PIECE: frozenset[Kind] = frozenset({"prompts", "merge", "score", "gate", "image"})
"""Kinds that publish all or nothing."""
MESSAGE = "stopped on request; a rerun resumes from what is published"


class Stop:
    """The first signal asks the step to stop; a second one ends the process."""

    def __init__(self) -> None:
        self._asked = self._at_once = False  # plain: a handler must not wait for a lock that it has interrupted

    def listen(self) -> None:
        """Takes the signals of this process."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._take)

    def requested(self) -> bool:
        """Whether somebody asked."""
        return self._asked

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within, nothing would be lost: a signal ends the step where it stands."""
        before, self._at_once = self._at_once, True
        try:
            if self._asked:
                raise Interrupted(MESSAGE)
            yield
        finally:
            self._at_once = before

    def _take(self, number: int, _frame: object) -> None:
        if self._asked:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._asked = True
        if self._at_once:
            raise Interrupted(MESSAGE)
