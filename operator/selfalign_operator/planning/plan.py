"""plan(run, observed, now): what to do next, and what the status reports. Called by the local runner and the operator.

Pure and level-triggered: planning twice on one observation gives one plan, and once its actions are carried out the
next plan contains none of them. A crash between two actions therefore needs no recovery, and no queue of pending
actions has to be stored.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus
from selfalign_operator.planning import (
    deadlines,
    outlived,
    own_work,
    replacements,
    retry,
    run_phase,
    status,
    store_moves,
    truncation,
)
from selfalign_operator.planning.equal_keys import Work
from selfalign_operator.planning.observation import PREFLIGHT, Attempt, Observed
from selfalign_operator.planning.retries import OUT_OF_MEMORY, is_out_of_memory
from selfalign_operator.planning.run_state import RunState, derive
from selfalign_operator.planning.waiting import Rendering
from selfalign_stages.contract.graph import Step
from selfalign_stages.contract.manifest import ArtifactRef
from selfalign_stages.contract.task import Problem


@dataclass(frozen=True)
class StartPreflight:
    """Start preflight, which resolves the leaves, reports every problem and finds finished steps.

    Attributes:
        key: the preflight key that its result will be valid for.
        attempt: number of the attempt.
        retry: the retry that it belongs to (retry.Request.value).
        replacement: whether an attempt of that number never ran and was stopped, so that this is no retry.
    """

    key: str
    attempt: int
    retry: str = ""
    replacement: bool = False


@dataclass(frozen=True)
class StartStep:
    """Start one attempt at a step whose inputs exist.

    Attributes:
        step: the step.
        key: key of the artifact that it will publish.
        attempt: number of the attempt.
        inputs: artifacts by input name.
        leaves: digests by leaf name; the process refuses a leaf whose digest differs.
        retry: the retry that it belongs to (retry.Request.value).
        replacement: whether an attempt of that number never ran and was stopped, so that this is no retry.
    """

    step: Step
    key: str
    attempt: int
    inputs: dict[str, ArtifactRef]
    leaves: dict[str, str]
    retry: str = ""
    replacement: bool = False


@dataclass(frozen=True)
class StopAttempt:
    """Stop a running attempt at process `id` with SIGTERM. What it has published stays.

    Attributes:
        id: the process.
        attempt: number of the attempt.
        if_unchanged: stop it only if its Job is still as it was observed: a pod that has started since keeps running.
    """

    id: str
    attempt: int
    if_unchanged: bool = False


@dataclass(frozen=True)
class RemoveAttempt:
    """Delete an ended attempt at process `id`, which is a Job on a cluster. Its result stays in the status."""

    id: str
    attempt: int


Action = StartPreflight | StartStep | StopAttempt | RemoveAttempt
PREFLIGHT_RETRY = timedelta(minutes=5)
"""Between two preflights of a refused run. Frequent enough for a person who creates the missing Secret or bucket, rare
enough that a run which stays broken costs one small pod every five minutes."""


@dataclass(frozen=True)
class Plan:
    """The result of planning.

    Attributes:
        actions: what to do now, stops before starts.
        status: the status to write; it describes the observation, not the actions.
        requeue_at: when to plan again even if nothing changes until then; None if no moment is known.
        finished: nothing more will be started until the run is edited or preflight is repeated at `requeue_at`.
        work: what the run makes once the actions are carried out, for other runs with equal keys.
    """

    actions: tuple[Action, ...]
    status: RunStatus
    requeue_at: datetime | None
    finished: bool
    work: Work = Work()


def plan(run: SelfAlignRun, observed: Observed, now: datetime, *, rendering: Rendering | None = None) -> Plan:
    """Plans the next actions for a run.

    Args:
        run: the manifest with the previous status, which supplies start times and the results of removed Jobs.
        observed: attempts, free slots and problems.
        now: the current time.
        rendering: how Jobs are rendered now; None where processes are no Jobs.
    """
    observed = deadlines.apply(run, observed, now)
    state = derive(run, observed, now)
    preflight_due = _preflight_due(run, state)
    if _settled(run, state) and (preflight_due is None or now < preflight_due):
        return _plan_settled(run, state, observed, now, preflight_due=preflight_due, rendering=rendering)
    started = _start_time(run, observed, now)
    phase = run_phase.derive(run, state, started=started, now=now)
    stops = _stops(run, state, observed, halted=phase.halted)
    if not phase.halted:
        starts = _starts(run, state, observed)
    else:
        starts = _repeat_preflight(run, state, observed) if preflight_due is not None else ()
    if rendering is not None:
        stops += _replacements(run, state, observed, rendering, stopped=stops)
        starts = tuple(_numbered(start, state, observed, rendering) for start in starts)
    retries_at = [step.verdict.wait_until for step in state.steps.values()]
    requeue_at = _next_moment(now, *retries_at, state.preflight.wait_until, run_phase.deadline(run, started))
    return Plan(
        actions=(*stops, *_removals_of_outlived(run, observed), *starts),
        status=status.build(run, state, phase, started=started, now=now),
        requeue_at=None if phase.halted else requeue_at,
        finished=phase.halted,
        work=own_work.work(run, state, starting=_step_ids(starts), halted=phase.halted),
    )


def _plan_settled(
    run: SelfAlignRun,
    state: RunState,
    observed: Observed,
    now: datetime,
    *,
    preflight_due: datetime | None,
    rendering: Rendering | None,
) -> Plan:
    """Plans for a generation that has ended: its status no longer changes, its Jobs are removed after the TTL."""
    expiry = _expiry(run)
    expired = _removals(observed) if expiry is not None and now >= expiry else ()
    outlived_jobs = _removals_of_outlived(run, observed)
    others = tuple(removal for removal in expired if removal not in outlived_jobs)
    stops = _stops(run, state, observed, halted=True)
    if rendering is not None:
        stops += _replacements(run, state, observed, rendering, stopped=stops)
    return Plan(
        actions=(*stops, *outlived_jobs, *others),
        # A refused retry is reported although the run has ended, and starts nothing.
        status=run.status.model_copy(update={"retry": retry.status(run, state.retry, [*state.steps])}),
        requeue_at=_next_moment(now, expiry, preflight_due),
        finished=True,
        work=own_work.work(run, state, starting=(), halted=True),
    )


def _next_moment(now: datetime, *moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None and moment > now), default=None)


def _settled(run: SelfAlignRun, state: RunState) -> bool:
    """Whether this generation has ended: only an edit, a retry or a different preflight result restarts the run."""
    recorded = run.status
    preflight_current = recorded.preflight is not None and recorded.preflight.key == state.preflight_key
    ended = recorded.completion_time is not None and recorded.observed_generation == run.metadata.generation
    return ended and preflight_current and not state.retry.is_new and not _preflight_result_changed(recorded, state)


def _preflight_result_changed(recorded: RunStatus, state: RunState) -> bool:
    """Whether a repeated preflight came to another result than the one that refused the run."""
    if state.preflight_result is None:
        return False
    problems = state.preflight_result.problems
    if problems:
        return _serialised(truncation.problems(problems)) != _serialised(recorded.problems)
    accepted = recorded.condition("Accepted")
    return accepted is not None and accepted.status == "False"


def _serialised(problems: tuple[Problem, ...]) -> list[dict[str, Any]]:
    """Problems as JSON values. `Problem.value` may be a tuple, which the API server returns as a list."""
    return [problem.to_dict() for problem in problems]


def _preflight_due(run: SelfAlignRun, state: RunState) -> datetime | None:
    """When to repeat the preflight of a run that it refused, or in which it failed; None for all other runs.

    The missing bucket or Secret may have been created, or the unavailable service may have recovered, without any
    event that the operator watches.
    """
    ended, accepted = run.status.completion_time, run.status.condition("Accepted")
    if ended is None or not _refused(run) or not _settled(run, state):
        return None
    # The same preflight lacks the same memory: only an edit helps.
    return ended + PREFLIGHT_RETRY if accepted is not None and accepted.reason != OUT_OF_MEMORY else None


def _refused(run: SelfAlignRun) -> bool:
    """Whether the recorded status refuses the run, and the run is not suspended."""
    accepted = run.status.condition("Accepted")
    return accepted is not None and accepted.status == "False" and not run.spec.suspend


def _repeat_preflight(run: SelfAlignRun, state: RunState, observed: Observed) -> tuple[Action, ...]:
    """Repeats preflight in place of its old Job. The recorded result stays in the status until the new one exists."""
    # Problems that the operator detects itself would refuse the run whatever the process reports.
    if observed.problems or PREFLIGHT in observed.running() or PREFLIGHT in outlived.blocked_ids(observed):
        return ()
    attempts = observed.attempts_of(PREFLIGHT)
    removals = (RemoveAttempt(PREFLIGHT, attempt.number) for attempt in attempts if attempt.job is not None)
    return (*removals, _start_preflight(run, state, observed))


def _start_time(run: SelfAlignRun, observed: Observed, now: datetime) -> datetime:
    """When this run began; an edit after its end restarts the clock, and with it the deadline."""
    if run.status.completion_time is not None:
        return now
    starts = [attempt.started for attempts in observed.attempts.values() for attempt in attempts]
    return run.status.start_time or min([*starts, now])


def _expiry(run: SelfAlignRun) -> datetime | None:
    """When spec.ttlSecondsAfterFinished is over; None while the run has not ended, or without a TTL."""
    ended, ttl_seconds = run.status.completion_time, run.spec.ttl_seconds_after_finished
    return ended + timedelta(seconds=ttl_seconds) if ended is not None and ttl_seconds is not None else None


def _removals(observed: Observed) -> tuple[RemoveAttempt, ...]:
    return tuple(
        RemoveAttempt(id_, attempt.number)
        for id_, attempts in sorted(observed.attempts.items())
        for attempt in attempts
        if not attempt.running and attempt.job is not None and not attempt.stopping
    )


def _removals_of_outlived(run: SelfAlignRun, observed: Observed) -> tuple[RemoveAttempt, ...]:
    return tuple(RemoveAttempt(id_, number) for id_, number in outlived.to_remove(run, observed))


def _stops(run: SelfAlignRun, state: RunState, observed: Observed, *, halted: bool) -> tuple[StopAttempt, ...]:
    """Stops what is halted, works for a key that is no longer needed, or is outdated by spec.onSpecChange."""
    return tuple(
        StopAttempt(id_, attempt.number)
        for id_, attempt in observed.running().items()
        if not attempt.stopping
        and (
            (halted and not _is_repeated_preflight(run, id_))
            or not _key_is_needed(state, id_, attempt)
            or _outdated(run, state, attempt)
        )
    )


def _key_is_needed(state: RunState, id_: str, attempt: Attempt) -> bool:
    if id_ == PREFLIGHT:
        return attempt.key == state.preflight_key
    step = state.steps.get(id_)
    if step is None:
        return False
    # While an edit has preflight repeated, keys are unknown: the step may well turn out to be the same.
    return state.preflight_result is None or (step.needed and step.key == attempt.key)


def _replacements(
    run: SelfAlignRun,
    state: RunState,
    observed: Observed,
    rendering: Rendering,
    *,
    stopped: tuple[StopAttempt, ...],
) -> tuple[StopAttempt, ...]:
    """Stops the attempts that only wait and whose Jobs would be rendered otherwise now. They start anew once gone."""

    def start(id_: str) -> StartPreflight | StartStep | None:
        if id_ == PREFLIGHT:
            return _start_preflight(run, state, observed)
        step = state.steps[id_]
        return _start_step(run, state, observed, step.step) if step.key is not None else None

    spared = {stop.id for stop in stopped}
    found = replacements.outdated(run, state, observed, rendering, starts=start, spared=spared)
    return tuple(StopAttempt(id_, number, if_unchanged=True) for id_, number in found)


def _numbered(action: Action, state: RunState, observed: Observed, rendering: Rendering) -> Action:
    if isinstance(action, StartStep):
        return replacements.numbered(action, action.step.id, state, observed, rendering)
    if isinstance(action, StartPreflight):
        return replacements.numbered(action, PREFLIGHT, state, observed, rendering)
    return action


def _is_repeated_preflight(run: SelfAlignRun, id_: str) -> bool:
    """Whether it is the repeated preflight of a refused run, the only process that a halted run may have."""
    return id_ == PREFLIGHT and _refused(run)


def _outdated(run: SelfAlignRun, state: RunState, attempt: Attempt) -> bool:
    """Whether an edit stops an attempt of an earlier generation although its key is still needed.

    With onSpecChange: Restart it does; and where the attempt would go on repeating a failure, since the edit is what
    the message about it asks for: a worker that lacked memory is started again as it was.
    """
    if attempt.generation in (None, run.metadata.generation):
        return False
    if store_moves.is_elsewhere(attempt, state.store):  # it publishes to another store than the present one
        return True
    return run.spec.on_spec_change == "Restart" or is_out_of_memory(attempt) or replacements.would_repeat(attempt)


def _starts(run: SelfAlignRun, state: RunState, observed: Observed) -> tuple[Action, ...]:
    running, blocked = observed.running(), outlived.blocked_ids(observed)
    if state.preflight_result is None:
        if PREFLIGHT in running or PREFLIGHT in blocked or state.preflight.state not in ("new", "retry"):
            return ()
        return (_start_preflight(run, state, observed),)
    # A running attempt for an old key blocks its step: two processes of one step would share a scratch folder.
    busy = running.keys() | blocked
    ready = [step for id_, step in state.steps.items() if id_ not in busy and state.startable(step)]
    free_slots = len(ready) if observed.slots is None else max(observed.slots - len(running), 0)
    return tuple(_start_step(run, state, observed, step.step) for step in ready[:free_slots])


def _step_ids(starts: tuple[Action, ...]) -> set[str]:
    return {action.step.id for action in starts if isinstance(action, StartStep)}


def _start_preflight(run: SelfAlignRun, state: RunState, observed: Observed) -> StartPreflight:
    recorded = run.status.preflight
    number = _next_attempt(observed, PREFLIGHT, recorded.attempt if recorded else 0)
    return StartPreflight(state.preflight_key, number, state.retry.value)


def _start_step(run: SelfAlignRun, state: RunState, observed: Observed, step: Step) -> StartStep:
    sources = {name: state.steps[source] for name, source in step.inputs.items()}
    key, recorded = state.steps[step.id].key, run.status.steps.get(step.id)
    assert key is not None and state.preflight_result is not None, "only steps with a key are startable"
    return StartStep(
        step=step,
        key=key,
        attempt=_next_attempt(observed, step.id, recorded.attempt if recorded else 0),
        inputs={name: ArtifactRef(kind=source.step.kind, key=source.key or "") for name, source in sources.items()},
        leaves={name: state.preflight_result.leaves[name] for name in step.leaves},
        retry=state.retry.value,
    )


def _next_attempt(observed: Observed, id_: str, recorded: int) -> int:
    """One more than every observed or recorded number: a Job that was deleted by hand must not lend its name."""
    return max([recorded, *(attempt.number for attempt in observed.attempts_of(id_))]) + 1
