"""Counts the failed attempts at a process, those included whose Jobs are gone. Pure.

Jobs disappear: a policy gives them ttlSecondsAfterFinished: 0, a person or a clean-up tool deletes them. Counted from
the Jobs that exist, such attempts would never reach spec.retries.perStage, and the step would be started for ever. The
status therefore keeps the count, like that of preemptions (`usage`), and an attempt that it records as running, but
that no Job shows any more, has failed.

A Job that the operator deletes itself is no failure, and neither is one that is observed while it is being deleted
before it has ended: somebody stopped it on purpose.
"""

from collections.abc import Sequence
from datetime import datetime

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import FailedAttempts
from selfalign_operator.planning import recorded
from selfalign_operator.planning.observation import PREFLIGHT, Attempt, Observed
from selfalign_stages.contract.exits import INTERRUPTED_CODES, ExitCode
from selfalign_stages.contract.task import Failure

JOB_GONE = "JobGone"
"""Failure reason of an attempt whose Job was deleted before its end was read."""
NOT_CRASHES = (ExitCode.PUBLISHED, *INTERRUPTED_CODES)


def is_crash(attempt: Attempt) -> bool:
    """Whether an ended attempt counts against spec.retries.perStage. An interruption never does."""
    if attempt.exit_code == ExitCode.PUBLISHED:
        return attempt.result is None
    return attempt.exit_code not in (None, *NOT_CRASHES)


def count(
    run: SelfAlignRun,
    observed: Observed,
    id_: str,
    key: str | None,
    attempts: Sequence[Attempt],
    now: datetime,
    *,
    retried: bool = False,
) -> FailedAttempts | None:
    """Counts the failed attempts at a process for its current key and generation.

    Args:
        run: the run, with the status of the previous reconciliation.
        observed: all attempts, and those that this reconciliation has stopped.
        id_: PREFLIGHT or the step's id.
        key: its current key; None while it is unknown.
        attempts: the observed attempts for that key, oldest first.
        retried: whether the run asks for fresh attempts since the status was written (planning.retry).
        now: the current time; the failure of an attempt whose Job is gone is as old as its discovery.

    Returns:
        The count since the last success; None if there is nothing to remember.
    """
    before, open_attempt = (None, None) if retried else _recorded(run, id_, key)
    failed = before or FailedAttempts()
    for attempt in attempts:
        if attempt.number > failed.through:
            failed = _after(failed, attempt)
    if open_attempt is not None and open_attempt > failed.through and not run.spec.suspend:
        stopped = (id_, open_attempt) in observed.stopped
        if not stopped and all(attempt.number != open_attempt for attempt in observed.attempts_of(id_)):
            failed = FailedAttempts(count=failed.count + 1, through=open_attempt, time=now)
    return failed if failed.through else None


def newest_is_gone(failed: FailedAttempts | None, attempts: Sequence[Attempt]) -> bool:
    """Whether the newest attempt failed and no Job shows it any more."""
    return failed is not None and failed.count > 0 and failed.through > max((one.number for one in attempts), default=0)


def explain_gone(failed: FailedAttempts) -> Failure:
    """Returns the failure of an attempt whose Job is gone."""
    text = (
        f"the Job of attempt {failed.through} was deleted before its end was read, failed attempts: {failed.count}; "
        "look for what deletes Jobs: a policy that sets ttlSecondsAfterFinished to 0, a clean-up tool, a person. Stop "
        "it, then set spec.suspend to true and back to false"
    )
    return Failure(reason=JOB_GONE, message=text)


def _after(failed: FailedAttempts, attempt: Attempt) -> FailedAttempts:
    if attempt.running:
        # Stopped on purpose: when its Job is gone, nothing has failed.
        return failed.model_copy(update={"through": attempt.number}) if attempt.stopping else failed
    if is_crash(attempt):
        ended = attempt.finished or attempt.started
        return FailedAttempts(count=failed.count + 1, through=attempt.number, time=ended)
    if attempt.exit_code == ExitCode.PUBLISHED:
        return FailedAttempts()
    return failed.model_copy(update={"through": attempt.number})


def _recorded(run: SelfAlignRun, id_: str, key: str | None) -> tuple[FailedAttempts | None, int | None]:
    """The recorded count, and the attempt that the status shows as running. An edit resets both, as all retries."""
    status = run.status
    if key is None or status.observed_generation != run.metadata.generation:
        return None, None
    if id_ == PREFLIGHT:
        preflight = status.preflight
        if preflight is None or preflight.key != key:
            return None, None
        # without a Job's name the number is that of an earlier key
        is_open = preflight.job_name is not None and recorded.preflight_result(run, key, retried=False) is None
        return preflight.failed, preflight.attempt if is_open else None
    step = status.steps.get(id_)
    if step is None or step.key != key:
        return None, None
    return step.failed, step.attempt if step.state == "Running" and step.job_name is not None else None
