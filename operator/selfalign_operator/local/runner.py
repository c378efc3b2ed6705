"""The loop of `selfalign run`: observe, plan, act, show; until the plan is over and every process has ended."""

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

TICK_SECONDS, POLL_SECONDS = 0.05, 1.0


@dataclass
class Interrupt:
    """How often the user asked to stop: once is gently, twice is now."""

    times: int = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handles SIGINT and SIGTERM."""
        self.times += 1


@contextmanager
def interrupts() -> Iterator[Interrupt]:
    """Counts SIGINT and SIGTERM while it is open."""
    interrupt = Interrupt()
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass
class Runner:
    """Carries a run to its end."""

    run: SelfAlignRun
    locations: Locations
    attempts: ProcessTable
    display: Display
    interrupt: Interrupt

    def carry_out(self) -> RunStatus:
        """The last status; whether it was interrupted stands in `interrupt`."""
        try:
            return self._loop()
        finally:
            self.attempts.kill_all()

    def _loop(self) -> RunStatus:
        now = datetime.now(UTC)
        current = self._plan(now)
        polled = time.monotonic()
        while self.attempts.any_running or not (current.finished or self.interrupt.times):
            time.sleep(TICK_SECONDS)
            self._heed_interrupt()
            now = datetime.now(UTC)
            due = time.monotonic() - polled >= POLL_SECONDS
            if due:
                self.attempts.poll()
                polled = time.monotonic()
            woken = current.requeue_at is not None and now >= current.requeue_at
            if self.attempts.reap(now) or due or woken:
                current = self._plan(now)
        return current.status

    def _plan(self, now: datetime) -> Plan:
        current = plan(self.run, self.attempts.observed(), now)
        if current.actions and not self.interrupt.times:
            for action in current.actions:
                self._act(action, now)
            current = plan(self.run, self.attempts.observed(), now)
        self.run = self.run.model_copy(update={"status": current.status})
        self.display.show(current.status)
        return current

    def _act(self, action: Action, now: datetime) -> None:
        if isinstance(action, RemoveAttempt):
            return  # processes here leave nothing but logs
        if isinstance(action, StopAttempt):
            self.attempts.stop(action.id)
            return
        key, number = action.key, action.attempt
        if isinstance(action, StartPreflight):
            task = tasks.preflight(self.run, self.locations)
            self.attempts.begin(PREFLIGHT, kind=None, key=key, number=number, task=task, now=now)
            return
        told = tasks.step(self.run, action, self.locations)
        self.attempts.begin(action.step.id, kind=action.step.kind, key=key, number=number, task=told, now=now)

    def _heed_interrupt(self) -> None:
        if self.interrupt.times >= 2:
            self.attempts.kill_all()
            return
        running = self.attempts.observed().running() if self.interrupt.times else {}
        left = [id_ for id_, attempt in running.items() if not attempt.stopping]
        for id_ in left:
            self.attempts.stop(id_)
        if left:
            self.display.say(f"stops {', '.join(left)}; once more ends them at once")
