"""What SIGTERM and SIGINT do to a stage process: it ends where nothing is lost, within its grace period.

Kubernetes sends SIGTERM and, after terminationGracePeriodSeconds, SIGKILL. A killed process counts as a crash, so the
step has to end by itself. A loop that publishes piece by piece (chunks, checkpoints) checks for the request between two
pieces. Everything else, such as loading an engine, may take longer than the grace period and has nothing to lose: there
the signal handler raises right away.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from selfalign_stages.contract.exits import Interrupted
from selfalign_stages.contract.graph import Kind

ALL_OR_NOTHING: frozenset[Kind] = frozenset({"prompts", "check", "merge", "score", "gate", "image"})
"""Kinds that publish once, at their end: a stop may interrupt them anywhere."""
MESSAGE = "stopped on request; a rerun resumes from what is published"


class Stop:
    """The request to stop. The first signal makes it, a second one ends the process without cleaning up."""

    def __init__(self) -> None:
        # Plain attributes, not an Event: a handler that waits for a lock of the code it interrupts never returns.
        self._requested = self._at_once = False
        self._pid = os.getpid()

    def listen(self) -> None:
        """Handles SIGTERM and SIGINT of this process from now on; main thread only."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._handle)

    def requested(self) -> bool:
        """Whether a stop is requested."""
        return self._requested

    @property
    def ends_at_once(self) -> bool:
        """Whether the code that runs now has nothing to lose."""
        return self._at_once

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Marks code that has nothing to lose: within it a signal raises where the code stands. Nests.

        Raises:
            Interrupted: a stop was requested before, or arrives within.
        """
        before, self._at_once = self._at_once, True
        try:
            # Checked after the flag is set: a signal between the two statements would otherwise go unnoticed.
            if self._requested:
                raise Interrupted(MESSAGE)
            yield
            # Python drops exceptions in finalizers and callbacks, and the handler may have raised in one.
            if self._requested:
                raise Interrupted(MESSAGE)
        finally:
            self._at_once = before

    def _handle(self, number: int, _frame: object) -> None:
        # A forked child inherits the handler, and the code that started it may end it by SIGTERM.
        if os.getpid() != self._pid:
            _end_by_default(number)
        # A second signal means that its sender will not wait.
        if self._requested:
            _end_by_default(number)
        self._requested = True
        if self._at_once:
            raise Interrupted(MESSAGE)


def _end_by_default(number: int) -> None:
    """Ends the process as if it did not handle the signal."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    # The kernel spares process 1 of a container from default actions (pid_namespaces(7)).
    os._exit(128 + number)
