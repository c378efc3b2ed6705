"""Ends attempts that do not start, or that work without any progress. Pure.

A pod may wait for a node that nobody adds, and a process may be stopped, or wait for a file system that is gone.
Neither ends by itself, and the second keeps its GPUs. An attempt that is over a deadline counts as ended although its
pod exists; `outlived` then has its Job deleted once the status records that. A missed start fails the run, because
another attempt would wait for the same; missing progress is a crash, which is retried.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import StepStatus
from selfalign_operator.api.values import seconds
from selfalign_operator.planning.observation import Attempt, Observed
from selfalign_stages.contract.exits import ExitCode
from selfalign_stages.contract.task import Failure

DEFAULT_PROGRESS_DEADLINE = "6h"
"""Longer than any phase between two reports takes: a chunk of answers on CPUs, merging the largest base model."""
START, PROGRESS = "StartDeadlineExceeded", "ProgressDeadlineExceeded"
CRASH = 1
ENDED = ("Waiting", "Failed")
"""Step states that record a failed attempt."""


def apply(run: SelfAlignRun, observed: Observed, now: datetime) -> Observed:
    """Returns the observation with attempts over a deadline as ended ones. Local processes have no deadlines.

    Args:
        run: the run, whose status records when progress last changed.
        observed: the observation.
        now: the current time.
    """
    attempts = {
        id_: tuple(_judged(run, id_, attempt, now) for attempt in tried) for id_, tried in observed.attempts.items()
    }
    return replace(observed, attempts=attempts)


def _judged(run: SelfAlignRun, id_: str, attempt: Attempt, now: datetime) -> Attempt:
    step = run.status.steps.get(id_)
    recorded = step if step is not None and (step.key, step.attempt) == (attempt.key, attempt.number) else None
    if attempt.job is None or not attempt.running:
        return attempt
    ended_before = recorded is not None and recorded.state in ENDED
    if attempt.stopping and not ended_before:
        return attempt
    expired = _not_started(run, recorded, attempt, now) or _without_progress(run, recorded, attempt, now)
    if expired is None and recorded is not None and ended_before:
        return _stays_ended(attempt, recorded)
    return expired or attempt


def _stays_ended(attempt: Attempt, recorded: StepStatus) -> Attempt:
    """An attempt that the status records as failed stays so, whatever its pod does until its Job is gone."""
    failed = recorded.state == "Failed"
    failure = Failure(reason=START if failed else "Crash", message=recorded.message or "ended by the operator")
    return _end(attempt, ExitCode.BAD_INPUT if failed else CRASH, failure, attempt.started, hang=attempt.hang)


def _not_started(run: SelfAlignRun, recorded: StepStatus | None, attempt: Attempt, now: datetime) -> Attempt | None:
    if attempt.starting is None:
        return None
    limit = run.spec.pod_defaults.start_deadline
    # A pod that replaces one which ran has a start of its own.
    ran = (recorded.progress.changed if recorded.progress else None) if recorded is not None else None
    since = max(attempt.starting.since, ran or attempt.starting.since)
    expired = since + timedelta(seconds=seconds(limit))
    if now < expired:
        return None
    cause = attempt.pending.message if attempt.pending is not None else attempt.starting.detail
    text = (
        f"not started within spec.podDefaults.startDeadline ({limit}): {cause}; mend the cause or raise the deadline: "
        "an edit of the run starts the step again"
    )
    return _end(attempt, ExitCode.BAD_INPUT, Failure(reason=START, message=text), expired)


def _without_progress(
    run: SelfAlignRun, recorded: StepStatus | None, attempt: Attempt, now: datetime
) -> Attempt | None:
    known = recorded.progress if recorded is not None else None
    limit = run.spec.pod_defaults.progress_deadline
    # Progress that was never read may be unreadable for the operator (network policy, mesh). Ending every step for that
    # is only right for whoever sets the field.
    if attempt.working_since is None or (known is None and limit is None):
        return None
    if attempt.progress is not None and (known is None or not known.equals(attempt.progress)):
        return None
    limit = limit or DEFAULT_PROGRESS_DEADLINE
    since = max(attempt.working_since, known.changed or attempt.working_since) if known else attempt.working_since
    expired = since + timedelta(seconds=seconds(limit))
    if now < expired:
        return None
    at = f" at {known.done:g} of {known.total:g} {known.unit}" if known is not None and known.total > 0 else ""
    pods = ", ".join(attempt.places) or f"Job {attempt.job}"
    text = (
        f"no progress within spec.podDefaults.progressDeadline ({limit}){at}: {pods}; the pod is deleted and the step "
        "retried. If the node or a file system hangs, keep the run from it with nodeAffinity in "
        "spec.podDefaults.template; if the step is only slow, raise the deadline"
    )
    failure = Failure(reason=PROGRESS, message=text)
    return _end(attempt, CRASH, failure, expired, hang=failure)


def _end(attempt: Attempt, code: int, failure: Failure, finished: datetime, *, hang: Failure | None = None) -> Attempt:
    return replace(
        attempt, exit_code=code, failure=failure, finished=finished, outlived=True, hang=hang, pending=None, result=None
    )
