"""Judges the attempts at one process by their exit codes: done, running, to be retried, or failed for good.

The rules are those of contract.exits: 42 to 44 are final, and so is lack of memory; 75 and the codes of a process that
SIGTERM ended are retried at once and counted against spec.retries.preemptions; everything else is a crash, retried with
exponential backoff and counted against spec.retries.perStage. 77 (a lost input) is a crash whose retry has to wait for
another step as well (`losses`). Pure: a retry is a moment in the future, so nothing is lost when the operator restarts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from selfalign_operator.api.run import Retries
from selfalign_operator.api.status import FailedAttempts
from selfalign_operator.planning import failed_attempts
from selfalign_operator.planning.failed_attempts import NOT_CRASHES, is_crash
from selfalign_operator.planning.observation import Attempt
from selfalign_stages.contract.exits import FINAL_CODES, INTERRUPTED_CODES, ExitCode
from selfalign_stages.contract.task import Failure

INPUT_LOST = "InputLost"
"""Condition reason of a step that waits for an input which is made anew."""
OUT_OF_MEMORY = "OOMKilled"
"""Reason of a container that the kernel killed for lack of memory, and of the condition: final, as DOES_NOT_FIT is."""
REASONS: dict[int, str] = {
    ExitCode.BAD_INPUT: "BadInput",
    ExitCode.ACCESS_DENIED: "AccessDenied",
    ExitCode.DOES_NOT_FIT: "DoesNotFit",
    ExitCode.INPUT_LOST: INPUT_LOST,
}
"""Condition reason of an exit code, for a process that left no failure of its own."""
CRASH_DELAY, UNAVAILABLE_DELAY, LONGEST_DELAY = 1.0, 10.0, 300.0
"""Backoff in seconds: before the first retry of a crash, before the first retry of an unavailable service (which needs
longer to recover than a process to restart), and the upper bound of both. Each further retry doubles the delay."""


@dataclass(frozen=True)
class Verdict:
    """What the attempts at one process amount to.

    Attributes:
        state: "new" without attempts; "waiting" until `wait_until`; "retry" when the next attempt may start now;
            "done" and "failed" are final for this key and generation.
        last: the newest attempt, None if there is none.
        wait_until: end of the backoff, set in state "waiting" only.
        failure: why the process failed for good, set in state "failed" only.
        retry_cause: why the process is retried, set from a crash until the end of the next attempt.
    """

    state: Literal["new", "running", "waiting", "retry", "done", "failed"]
    last: Attempt | None = None
    wait_until: datetime | None = None
    failure: Failure | None = None
    retry_cause: Failure | None = None


def judge(
    attempts: Sequence[Attempt],
    *,
    retries: Retries,
    now: datetime,
    stops: int = 0,
    failed: FailedAttempts | None = None,
) -> Verdict:
    """Judges the attempts at one process.

    Args:
        attempts: the attempts for its current key, oldest first.
        retries: spec.retries.
        now: the current time, compared with the end of the backoff.
        stops: how often the process was preempted or evicted so far, over all of its attempts (usage.preemptions).
        failed: its failed attempts, those included that are no longer observed (failed_attempts.count).
    """
    if failed is not None and failed_attempts.newest_is_gone(failed, attempts):
        return _after_disappearance(failed, attempts, retries, now)
    if not attempts:
        return Verdict("new")
    last = attempts[-1]
    # One of several workers may have been killed while the others run, and would be started again as it was.
    if is_out_of_memory(last):
        return Verdict("failed", last, failure=last.failure)
    if last.running:
        cause = _retry_cause(attempts[:-1], failed)
        return _too_many_preemptions(stops, last, retries) or Verdict("running", last, retry_cause=cause)
    if last.exit_code == ExitCode.PUBLISHED and last.result is not None:
        return Verdict("done", last)
    if last.exit_code in FINAL_CODES:
        return Verdict("failed", last, failure=explain(last))
    if last.exit_code in INTERRUPTED_CODES:
        return _too_many_preemptions(stops, last, retries) or Verdict("retry", last)
    crashes = max(sum(map(is_crash, attempts)), failed.count if failed is not None else 0)
    return _after_crash(crashes, last, retries, now)


def is_out_of_memory(attempt: Attempt) -> bool:
    """Returns whether an attempt was killed for lack of memory, so that only an edit can help."""
    return attempt.failure is not None and attempt.failure.reason == OUT_OF_MEMORY


def explain(attempt: Attempt) -> Failure:
    """Returns why an attempt failed: its own failure message if it left one, else one derived from the exit code."""
    if attempt.failure is not None:
        return attempt.failure
    code = attempt.exit_code if attempt.exit_code is not None else 0
    if code == ExitCode.PUBLISHED:
        return Failure(reason="NoResult", message="exit code 0 without a result: read its log")
    if code < 0:
        return Failure(
            reason="Killed", message=f"killed by signal {-code} (9 usually means out of memory): read its log"
        )
    text = f"exit code {code} without a failure message: read its log"
    return Failure(reason=REASONS.get(code, "Crash"), message=text)


def _too_many_preemptions(stops: int, last: Attempt, retries: Retries) -> Verdict | None:
    if stops <= retries.preemptions:
        return None
    message = f"interrupted {stops} times, spec.retries.preemptions allows {retries.preemptions}: raise it to continue"
    message += f"; the last time: {last.disruption.message}" if last.disruption is not None else ""
    return Verdict("failed", last, failure=Failure(reason="TooManyPreemptions", message=message))


def _after_disappearance(
    failed: FailedAttempts, attempts: Sequence[Attempt], retries: Retries, now: datetime
) -> Verdict:
    last, failure = attempts[-1] if attempts else None, failed_attempts.explain_gone(failed)
    if last is not None and last.exit_code == ExitCode.PUBLISHED and last.result is not None:
        return Verdict("done", last)
    if failed.count > retries.per_stage:
        return Verdict("failed", last, failure=failure)
    retry_at = (failed.time or now) + _delay(CRASH_DELAY, failed.count)
    if retry_at <= now:
        return Verdict("retry", last, retry_cause=failure)
    return Verdict("waiting", last, wait_until=retry_at, retry_cause=failure)


def _after_crash(crashes: int, last: Attempt, retries: Retries, now: datetime) -> Verdict:
    # An Indexed Job retries each worker itself (backoffLimitPerIndex); retrying the Job would multiply both limits.
    if crashes > retries.per_stage or last.exhausted:
        return Verdict("failed", last, failure=explain(last))
    first_delay = UNAVAILABLE_DELAY if last.exit_code == ExitCode.UNAVAILABLE else CRASH_DELAY
    retry_at = (last.finished or last.started) + _delay(first_delay, crashes)
    if retry_at <= now:
        return Verdict("retry", last, retry_cause=explain(last))
    return Verdict("waiting", last, wait_until=retry_at, retry_cause=explain(last))


def _delay(first: float, crashes: int) -> timedelta:
    # the exponent is bounded: perStage may be 100, and 2.0 ** 1024 overflows
    return timedelta(seconds=min(first * 2.0 ** min(crashes - 1, 30), LONGEST_DELAY))


def _retry_cause(earlier: Sequence[Attempt], failed: FailedAttempts | None) -> Failure | None:
    crashed = [attempt for attempt in earlier if attempt.exit_code not in (None, *NOT_CRASHES)]
    if failed is not None and failed_attempts.newest_is_gone(failed, earlier):
        return failed_attempts.explain_gone(failed)
    return explain(crashed[-1]) if crashed else None
