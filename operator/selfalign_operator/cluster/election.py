"""Renews the Lease in a thread of its own, so that neither requests nor reconciles can keep a renewal waiting.

The threads of `asyncio.to_thread` are few and shared with the reconciler: with a slow API server and many runs, a
renewal there waits for its turn until the Lease is lost. The election has its own thread and its own connection.

A thread of its own also renews while the event loop hangs, which would keep a Lease that nobody acts on. The loop
therefore has to run between two renewals; a hang is treated like a failed renewal, and lasts as long as one may.

Access to the API server: none of its own; `leadership` sends the requests.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from selfalign_operator.cluster.failure_log import FailureLog
from selfalign_operator.cluster.leadership import Leadership

LOG = logging.getLogger(__name__)


@dataclass
class Election:
    """Runs a candidate until `stop`.

    Attributes:
        candidate: what acquires and renews the Lease.
        loop_runs: whether the event loop has run since the previous call. While it has not, nothing is renewed.
        changed: called from the election's thread, with whether the candidate is the leader, when that has changed or
            another operator has acquired the Lease.
        ended: called from the election's thread at its end; the error that ended it, None after `stop`.
        failures: limits the log lines.
    """

    candidate: Leadership
    loop_runs: Callable[[], bool]
    changed: Callable[[bool], None]
    ended: Callable[[Exception | None], None]
    failures: FailureLog
    _state: tuple[bool, bool] = (False, False)
    """Whether the candidate leads, and whether another operator does."""
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread. A daemon: it must not keep a process alive whose event loop has ended."""
        self._thread = threading.Thread(target=self._run, name="election", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and waits for it, at most for one attempt. Blocking; the Lease is not released."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def attempt(self) -> float:
        """Tries once to acquire or renew, reports a change of leadership, and returns the seconds until the next."""
        leads = self.candidate.acquire_or_renew() if self.loop_runs() else self.candidate.is_leader
        if self.candidate.problem:
            self.failures.failed("the API server refuses the Lease", self.candidate.problem)
        state = (leads, self.candidate.superseded)
        if state != self._state:
            self._state = state
            self.changed(leads)
        return self.candidate.seconds_until_next_attempt()

    def _run(self) -> None:
        error = None
        try:
            while not self._stopped.wait(self.attempt()):
                pass
        except Exception as caught:  # an operator without an election would stay a stand-by for ever
            LOG.exception("the election ended")
            error = caught
        self.ended(error)


class LoopProbe:
    """Tells another thread whether an event loop runs its callbacks.

    Args:
        loop: the event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._ran = loop, threading.Event()
        self._ran.set()

    def __call__(self) -> bool:
        """Returns whether the loop has run since the previous call, and asks it to run again."""
        if not self._ran.is_set():
            return False
        self._ran.clear()
        try:
            self._loop.call_soon_threadsafe(self._ran.set)
        except RuntimeError:  # closed
            return False
        return True
