"""Ends a process that was asked to stop, before Kubernetes kills it.

A Python handler runs between two instructions of the main thread. A call into C that loads a model, or a pool of
threads that waits for its downloads, can keep it from running, or its exception from getting out, until the grace
period is over. SIGKILL (137) would then count as a crash. A thread of its own learns of the signal by the wakeup
descriptor, to which the interpreter writes when the signal arrives, and ends the process with the code of an
interruption.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from selfalign_stages.contract.exits import ExitCode
from selfalign_stages.contract.graph import Kind
from selfalign_stages.step.stopping import Stop

LOG = logging.getLogger("selfalign")
AT_ONCE_SECONDS = 20.0
"""After the signal, for code that has nothing to lose: time to remove its temporary files."""
PIECE_SECONDS = 100.0
"""After the signal, for code that finishes a piece. Pods have 120 seconds."""
PIECE_SECONDS_OF_KIND: dict[Kind, float] = {"train": 280.0}
"""The same for kinds whose pods have more time: training saves and uploads a checkpoint, in 300 seconds."""
CHECK_SECONDS = 0.5
"""Between two checks whether the time is over."""


@contextmanager
def watched(stop: Stop, *, piece_seconds: float) -> Iterator[None]:
    """Runs the thread within the context, and after it if a signal has arrived; main thread only.

    Args:
        stop: handles the signals of this process.
        piece_seconds: time from the signal to the end of the process, of which AT_ONCE_SECONDS are left in code that
            runs under `Stop.at_once`.
    """
    receiver, sender = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(receiver, True)
    before = signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
    # A forked child has the descriptor and no thread: its signals would end this process.
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
    threading.Thread(target=_end_late, args=(stop, receiver, piece_seconds), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(sender)


def piece_seconds(kind: str) -> float:
    """Returns the time of a process, by its kind of step or "preflight"."""
    return next((seconds for name, seconds in PIECE_SECONDS_OF_KIND.items() if name == kind), PIECE_SECONDS)


def _end_late(stop: Stop, receiver: int, piece_seconds: float) -> None:
    while number := os.read(receiver, 1):
        if number[0] in (signal.SIGTERM, signal.SIGINT):
            break
    os.close(receiver)
    if not number:
        return
    received = time.monotonic()
    while time.monotonic() - received < (AT_ONCE_SECONDS if stop.ends_at_once else piece_seconds):
        time.sleep(CHECK_SECONDS)
    LOG.error("stopped on request: the process did not end by itself")
    os._exit(ExitCode.INTERRUPTED)
