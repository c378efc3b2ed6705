"""Judges the attempts at one process by their exit codes: done, running, to be tried (again), or failed for good."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from selfalign_operator.api.run import Retries
from selfalign_operator.planning.observation import Attempt
from selfalign_stages.contract.exits import FINAL_CODES, ExitCode
from selfalign_stages.contract.task import Failure

FINAL_REASONS = {
    ExitCode.BAD_INPUT: "BadInput",
    ExitCode.ACCESS_DENIED: "AccessDenied",
    ExitCode.DOES_NOT_FIT: "DoesNotFit",
}
HARMLESS = (ExitCode.PUBLISHED, ExitCode.INTERRUPTED)
CRASH_DELAY, UNAVAILABLE_DELAY, LONGEST_DELAY = 1.0, 10.0, 300.0
"""Seconds before the first retry, doubled for each further one."""


@dataclass(frozen=True)
class Verdict:
    """What to make of a process. `wait_until` is set while a retry is held back, `setback` from a crash until the end
    of the next attempt.
    """

    state: Literal["new", "running", "waiting", "retry", "done", "failed"]
    last: Attempt | None = None
    wait_until: datetime | None = None
    failure: Failure | None = None
    retry_cause: Failure | None = None


def judge(attempts: Sequence[Attempt], *, retries: Retries, now: datetime, stops: int = 0) -> Verdict:
    """The verdict on the attempts for one key, oldest first; `stops` of them all were not the step's own."""
    if not attempts:
        return Verdict("new")
    last = attempts[-1]
    if last.running:
        return _after_preemption(stops, last, retries) or Verdict(
            "running", last, retry_cause=_retry_cause(attempts[:-1])
        )
    if last.exit_code == ExitCode.PUBLISHED and last.result is not None:
        return Verdict("done", last)
    if last.exit_code in FINAL_CODES:
        return Verdict("failed", last, failure=explain(last))
    if last.exit_code == ExitCode.INTERRUPTED:
        return _after_preemption(stops, last, retries) or Verdict("retry", last)
    return _after_crash(attempts, last, retries, now)


def explain(attempt: Attempt) -> Failure:
    """Why an attempt ended, in its own words where it left any."""
    if attempt.failure is not None:
        return attempt.failure
    code = attempt.exit_code if attempt.exit_code is not None else 0
    if code in FINAL_CODES:
        return Failure(reason=FINAL_REASONS[ExitCode(code)], message=f"exit code {code} without a message: see its log")
    if code == ExitCode.PUBLISHED:
        return Failure(reason="NoResult", message="ended well but left no result: see its log")
    if code < 0:
        return Failure(reason="Killed", message=f"killed by signal {-code} (9 is often a lack of memory): see its log")
    return Failure(reason="Crash", message=f"exit code {code} without a message: see its log")


def _after_preemption(stops: int, last: Attempt, retries: Retries) -> Verdict | None:
    if stops <= retries.preemptions:
        return None
    message = f"stopped {stops} times, spec.retries.preemptions allows {retries.preemptions}: raise it to go on"
    return Verdict("failed", last, failure=Failure(reason="TooManyPreemptions", message=message))


def _after_crash(attempts: Sequence[Attempt], last: Attempt, retries: Retries, now: datetime) -> Verdict:
    crashes = sum(attempt.exit_code not in HARMLESS or attempt.result is None for attempt in attempts)
    if crashes > retries.per_stage or last.exhausted:
        return Verdict("failed", last, failure=explain(last))
    first = UNAVAILABLE_DELAY if last.exit_code == ExitCode.UNAVAILABLE else CRASH_DELAY
    delay = min(first * 2 ** (crashes - 1), LONGEST_DELAY)
    ready = (last.finished or last.started) + timedelta(seconds=delay)
    if ready <= now:
        return Verdict("retry", last, retry_cause=explain(last))
    return Verdict("waiting", last, wait_until=ready, retry_cause=explain(last))


def _retry_cause(before: Sequence[Attempt]) -> Failure | None:
    crashed = [attempt for attempt in before if attempt.exit_code not in (None, *HARMLESS)]
    return explain(crashed[-1]) if crashed else None
