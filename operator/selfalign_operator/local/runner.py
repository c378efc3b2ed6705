"""The loop of `selfalign run`: observe, plan, act, show, until the plan is finished and every process has ended.

A polling loop in one thread instead of threads or asyncio: steps take minutes, a tick costs microseconds, and signals
are handled between ticks, so that no handler runs in the middle of a decision.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus, StepStatus
from selfalign_operator.local.interrupts import Interrupt
from selfalign_operator.local.process_table import ProcessTable
from selfalign_operator.planning import tasks
from selfalign_operator.planning.observation import PREFLIGHT, Observed
from selfalign_operator.planning.plan import Action, Plan, RemoveAttempt, StartPreflight, StopAttempt, plan
from selfalign_operator.planning.store_location import Locations
from selfalign_operator.terminal.display import Display

TICK_SECONDS = 0.05
"""Between two checks for ended processes: how long an ended step delays the next one at most."""
POLL_SECONDS = 1.0
"""Between two polls of progress: as often as a person reads it. Claims of other runs are tried as often."""
GRACE_SECONDS = 3.0
"""From the first signal to SIGKILL: time to write a checkpoint or a chunk. The command has to end within 5 seconds,
after which people lose patience and service managers kill."""


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
    _kill_at: float | None = None
    """Monotonic time of SIGKILL, once a signal was received."""

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
            # a poll waits for processes that are busy, and the grace period does not
            poll_is_due = not self.interrupt.times and time.monotonic() - polled >= POLL_SECONDS
            if poll_is_due:
                self.attempts.poll()
                polled = time.monotonic()
            backoff_is_over = current.requeue_at is not None and now >= current.requeue_at
            ended = self.attempts.reap(now)
            if (ended or poll_is_due) and not self.interrupt.times:
                self.attempts.start_waiting(now)  # before the plan, which would give the free slot to another step
            if ended or poll_is_due or backoff_is_over:
                current = self._plan(now)
        return current.status

    def _plan(self, now: datetime) -> Plan:
        """Plans, acts, and plans once more if anything was done: the status has to name what was started."""
        if self.interrupt.times:
            status = _without_withdrawn(self.run.status, self.attempts.observed())
            self.run = self.run.model_copy(update={"status": status})
        current = plan(self.run, self.attempts.observed(), now)
        # after an interrupt nothing is started; the status still shows what ends
        if current.actions and not self.interrupt.times:
            for action in current.actions:
                if not self.interrupt.times:
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
        """Stops running steps after the first signal; kills them after the second, or the grace period."""
        if not self.interrupt.times:
            return
        if self._kill_at is None:
            self._kill_at = time.monotonic() + GRACE_SECONDS
            stopped = self.attempts.withdraw_all()
            if stopped:
                self.display.print_line(f"stopping {', '.join(stopped)}; press Ctrl-C once more to kill them")
        if self.interrupt.times >= 2 or time.monotonic() >= self._kill_at:
            # safe at any moment: artifacts are published atomically, so a killed step leaves none behind
            self.attempts.kill_all()


def _without_withdrawn(status: RunStatus, observed: Observed) -> RunStatus:
    """Returns the status without the numbers of attempts that no longer exist, which the next command uses again."""

    def last(step: StepStatus) -> int:
        return max((attempt.number for attempt in observed.attempts_of(step.name)), default=0)

    stages = (
        stage.model_copy(
            update={"steps": tuple(step.model_copy(update={"attempt": last(step)}) for step in stage.steps)}
        )
        for stage in status.stages
    )
    return status.model_copy(update={"stages": tuple(stages)})
