"""Decides which results no longer count, because a later step found the artifact missing or damaged. Pure.

Such a step ends with exit code 77 and names the artifact's key (contract.exits.InputLost). Every result for that key
that is older than the report is refuted: an observed attempt, a hit of preflight, the status. The step that makes the
artifact is then unfinished like any other, and runs again before the one that reported the loss.

Reports are read from the attempts that exist, not recorded. Should somebody delete the Job of a report, a result that
it refuted may count again; the step that reads the artifact then reports the loss once more. What was started because
of a report is not lost with it: a result counts only if no later attempt was started for its key.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from selfalign_operator.api.status import StepStatus
from selfalign_operator.planning.observation import Attempt, Observed
from selfalign_stages.contract.exits import ExitCode
from selfalign_stages.contract.task import Failure


@dataclass(frozen=True)
class Loss:
    """What was reported about one key.

    Attributes:
        at: end of the newest attempt that reported the loss.
        reports: how many attempts did.
        failure: the newest report.
    """

    at: datetime
    reports: int
    failure: Failure


def reported(observed: Observed) -> dict[str, Loss]:
    """Returns the reported losses by artifact key. Reports of earlier generations count: an edit restores no object."""
    reports: dict[str, list[tuple[datetime, Failure]]] = {}
    for attempts in observed.attempts.values():
        for attempt in attempts:
            # The exit code decides, as it does about retries: a message alone may be anything.
            if attempt.exit_code == ExitCode.INPUT_LOST and attempt.failure is not None and attempt.failure.lost:
                report = (attempt.finished or attempt.started, attempt.failure)
                reports.setdefault(attempt.failure.lost, []).append(report)
    newest = {key: max(found, key=lambda report: report[0]) for key, found in reports.items()}
    return {key: Loss(at=at, reports=len(reports[key]), failure=failure) for key, (at, failure) in newest.items()}


def unrefuted(attempts: Sequence[Attempt], loss: Loss | None) -> tuple[Attempt, ...]:
    """Returns the attempts after the newest success that a loss refutes.

    A report refutes one success at most. With steady clocks that changes nothing; without the limit, a step whose Jobs
    carry times before the report (another controller manager, an hour behind) would be repeated for an hour.

    Args:
        attempts: the attempts for one key, oldest first.
        loss: what was reported about that key.
    """
    stale = _refuted(attempts, loss)
    return tuple(attempts[stale[-1] + 1 :]) if stale else tuple(attempts)


def times_lost(attempts: Sequence[Attempt], loss: Loss | None, *, is_current: Callable[[Attempt], bool]) -> int:
    """Returns how many successes of a step a loss has refuted, without those of earlier generations and retries.

    An edit or a retry resets this count as it does those of spec.retries.
    """
    refuted = (attempts[position] for position in _refuted(attempts, loss))
    return sum(map(is_current, refuted))


def hit_counts(preflight: Attempt | None, *, newest: Attempt | None, loss: Loss | None) -> bool:
    """Whether a hit of preflight still shows that an artifact exists.

    Args:
        preflight: the attempt at preflight that found it.
        newest: the newest attempt for the artifact's key.
        loss: what was reported about that key.
    """
    if preflight is None:
        return True
    superseded = newest is not None and newest.started > preflight.started
    # Preflight lists files and reads none: a hit before the report may be the very object that turned out damaged.
    return not superseded and (loss is None or preflight.started >= loss.at)


def record_counts(step: StepStatus, *, newest: Attempt | None, loss: Loss | None) -> bool:
    """Whether a success that the status records still shows that an artifact exists.

    Args:
        step: the recorded step, Succeeded.
        newest: the newest attempt for the artifact's key.
        loss: what was reported about that key.
    """
    if newest is not None and newest.number > step.attempt:
        return False
    if loss is None:
        return True
    # The Job that the record is about still exists, and its times have fractions of a second that the record lacks.
    if newest is not None and newest.number == step.attempt and (moment := _known_to_exist(newest)) is not None:
        return moment >= loss.at
    known = step.start_time if step.cache == "Hit" else step.completion_time
    # The status has whole seconds.
    return known is not None and known >= loss.at.replace(microsecond=0)


def _refuted(attempts: Sequence[Attempt], loss: Loss | None) -> list[int]:
    """Positions of the refuted successes.

    A tie is no refutation: Kubernetes' times have whole seconds, and what is made anew begins in the second of the
    report. If it is the lost one after all, its reader reports it again.
    """
    if loss is None:
        return []
    known = [(position, moment) for position, one in enumerate(attempts) if (moment := _known_to_exist(one))]
    return [position for position, moment in known if moment < loss.at][: loss.reports]


def _known_to_exist(attempt: Attempt) -> datetime | None:
    """When the attempt last saw its artifact whole: at its start if it was a hit, else when it had published it."""
    if attempt.exit_code != ExitCode.PUBLISHED or attempt.result is None:
        return None
    hit = getattr(attempt.result, "cache", "Miss") == "Hit"
    return attempt.started if hit else attempt.finished or attempt.started
