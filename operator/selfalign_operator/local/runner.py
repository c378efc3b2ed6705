"""The loop of `selfalign run`: observe, plan, act, show, until the plan is finished and every process has ended.

A polling loop in one thread instead of threads or asyncio: steps take minutes, a tick costs microseconds, and signals
are handled between ticks, so that no handler runs in the middle of a decision.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus
from selfalign_operator.local.process_table import ProcessTable
from selfalign_operator.planning import tasks
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.plan import Action, Plan, RemoveAttempt, StartPreflight, StopAttempt, plan
from selfalign_operator.planning.store_location import Locations
from selfalign_operator.terminal.display import Display

TICK_SECONDS = 0.05
"""Between two checks for ended processes: how long an ended step delays the next one at most."""
POLL_SECONDS = 1.0
"""Between two polls of progress: as often as a person reads it."""


@dataclass
class Interrupt:
    """Counts requests to stop: the first stops the steps with SIGTERM, the second kills them.

    Attributes:
        times: signals received so far.
    """

    times: int = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Counts a signal. Does nothing else: a signal handler may interrupt any line of the program."""
        self.times += 1


@contextmanager
def interrupts() -> Iterator[Interrupt]:
    """Counts SIGINT and SIGTERM within the context, and restores the previous handlers afterwards."""
    interrupt = Interrupt()
    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@dataclass
class Runner:
    """Carries out a run on this machine.

    Attributes:
        run: the run; its status is replaced after each plan.
        locations: store and leaves as processes of this machine open them.
        attempts: the processes.
        display: shows each status.
        interrupt: counts signals; see `interrupts`.
    """

    run: SelfAlignRun
    locations: Locations
    attempts: ProcessTable
    display: Display
    interrupt: Interrupt

    def carry_out(self) -> RunStatus:
        """Runs until the plan is finished or the user has interrupted it, and no process is left.

        Returns:
            The last status. Whether the run was interrupted is in `interrupt`.
        """
        try:
            return self._loop()
        finally:
            # normally nothing is left; an exception in this process must not leave GPUs occupied
            self.attempts.kill_all()

    def _loop(self) -> RunStatus:
        now = datetime.now(UTC)
        current = self._plan(now)
        polled = time.monotonic()
        while self.attempts.any_running or not (current.finished or self.interrupt.times):
            # a signal does not end the sleep early (PEP 475), so a tick also bounds the reaction to Ctrl-C
            time.sleep(TICK_SECONDS)
            self._handle_interrupt()
            now = datetime.now(UTC)
            poll_is_due = time.monotonic() - polled >= POLL_SECONDS
            if poll_is_due:
                self.attempts.poll()
                polled = time.monotonic()
            backoff_is_over = current.requeue_at is not None and now >= current.requeue_at
            if self.attempts.reap(now) or poll_is_due or backoff_is_over:
                current = self._plan(now)
        return current.status

    def _plan(self, now: datetime) -> Plan:
        """Plans, acts, and plans once more if anything was done: the status has to name what was started."""
        current = plan(self.run, self.attempts.observed(), now)
        # after an interrupt nothing is started; the status still shows what ends
        if current.actions and not self.interrupt.times:
            for action in current.actions:
                self._act(action, now)
            current = plan(self.run, self.attempts.observed(), now)
        self.run = self.run.model_copy(update={"status": current.status})
        self.display.show(current.status)
        return current

    def _act(self, action: Action, now: datetime) -> None:
        if isinstance(action, RemoveAttempt):
            return  # an ended process leaves only its log, which users may still need
        if isinstance(action, StopAttempt):
            self.attempts.stop(action.id)
            return
        key, number = action.key, action.attempt
        if isinstance(action, StartPreflight):
            preflight = tasks.preflight(self.run, self.locations)
            self.attempts.start(PREFLIGHT, kind=None, key=key, number=number, task=preflight, now=now)
            return
        step, task = action.step, tasks.step(self.run, action, self.locations)
        self.attempts.start(step.id, kind=step.kind, key=key, number=number, task=task, now=now)

    def _handle_interrupt(self) -> None:
        """Stops running steps after the first signal, kills them after the second."""
        if self.interrupt.times >= 2:
            # safe at any moment: artifacts are published atomically, so a killed step leaves none behind
            self.attempts.kill_all()
            return
        running = self.attempts.observed().running() if self.interrupt.times else {}
        to_stop = [id_ for id_, attempt in running.items() if not attempt.stopping]
        for id_ in to_stop:
            self.attempts.stop(id_)
        if to_stop:
            self.display.print_line(f"stopping {', '.join(to_stop)}; press Ctrl-C once more to kill them")
