"""plan(run, observed, now): what to do next and what the status says. Called by the local runner and the operator.

Pure and level-triggered: planning again on the same observation gives the same, and a world in which the actions
were carried out needs none of them again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus
from selfalign_operator.planning import run_phase, status, truncation
from selfalign_operator.planning.observation import PREFLIGHT, Attempt, Observed
from selfalign_operator.planning.run_state import RunState, derive
from selfalign_stages.contract.graph import Step
from selfalign_stages.contract.manifest import ArtifactRef
from selfalign_stages.contract.task import Problem


@dataclass(frozen=True)
class StartPreflight:
    """Resolve the leaves, find every problem and every finished step."""

    key: str
    attempt: int


@dataclass(frozen=True)
class StartStep:
    """Start one attempt at a step whose inputs exist; `leaves` are digests by leaf name."""

    step: Step
    key: str
    attempt: int
    inputs: dict[str, ArtifactRef]
    leaves: dict[str, str]


@dataclass(frozen=True)
class StopAttempt:
    """Ask a running process to end; what it published stays."""

    id: str
    attempt: int


@dataclass(frozen=True)
class RemoveAttempt:
    """Forget a process that ended; its result stays in the status."""

    id: str
    attempt: int


Action = StartPreflight | StartStep | StopAttempt | RemoveAttempt
PREFLIGHT_RETRY = timedelta(minutes=5)
"""Between two preflights of a run that was refused."""


@dataclass(frozen=True)
class Plan:
    """`wake` is when to plan again although nothing has happened; `over` says that nothing more will be started."""

    actions: tuple[Action, ...]
    status: RunStatus
    requeue_at: datetime | None
    finished: bool


def plan(run: SelfAlignRun, observed: Observed, now: datetime) -> Plan:
    """The plan for a run; `run.status` is the status before: times, and results whose processes are gone."""
    view = derive(run, observed, now)
    due = _asked_again(run, view)
    if settled(run, view) and not (due is not None and now >= due):
        expiry = _expiry(run)
        removes = _removes(observed) if expiry is not None and now >= expiry else ()
        stops = _stops(run, view, observed, halted=True)
        wake = min((moment for moment in (expiry, due) if moment is not None and moment > now), default=None)
        return Plan((*stops, *removes), run.status, wake, True)
    started = _began(run, observed, now)
    verdict = run_phase.judge(run, view, started=started, now=now)
    stops = _stops(run, view, observed, halted=verdict.halted)
    begins = _starts(run, view, observed) if not verdict.halted else _asks(run, view, observed) if due else ()
    told = status.build(run, view, verdict, started=started, now=now)
    waits = [step.verdict.wait_until for step in view.steps.values()]
    waits += [view.preflight.wait_until, run_phase.deadline(run, started)]
    wake = min((moment for moment in waits if moment is not None and moment > now), default=None)
    return Plan((*stops, *begins), told, None if verdict.halted else wake, verdict.halted)


def settled(run: SelfAlignRun, view: RunState) -> bool:
    """Whether this generation has ended: nothing but an edit, or another answer of preflight, begins anything again."""
    told = run.status
    asked = told.preflight is not None and told.preflight.key == view.preflight_key
    ended = told.completion_time is not None and told.observed_generation == run.metadata.generation
    return ended and asked and not _answered_otherwise(told, view)


def _answered_otherwise(told: RunStatus, view: RunState) -> bool:
    """Whether preflight says something else by now than the status that refused the run."""
    if view.answer is None:
        return False
    if view.answer.problems:
        return _written(truncation.problems(view.answer.problems)) != _written(told.problems)
    accepted = told.condition("Accepted")
    return accepted is not None and accepted.status == "False"


def _written(problems: tuple[Problem, ...]) -> list[dict[str, Any]]:
    """As a status has them: a tuple comes back from an API server as a list."""
    return [problem.to_dict() for problem in problems]


def _asked_again(run: SelfAlignRun, view: RunState) -> datetime | None:
    """When preflight is due again of a run that was refused, or whose preflight failed; None for all others.

    A bucket or a Secret may be there by then, or a service that was down.
    """
    ended, accepted = run.status.completion_time, run.status.condition("Accepted")
    refused = accepted is not None and accepted.status == "False" and not run.spec.suspend
    return ended + PREFLIGHT_RETRY if refused and ended is not None and settled(run, view) else None


def _asks(run: SelfAlignRun, view: RunState, observed: Observed) -> tuple[Action, ...]:
    """Asks preflight again; what it said before is kept until it answers."""
    if observed.problems or PREFLIGHT in observed.running():
        return ()
    told = run.status.preflight
    old = (RemoveAttempt(PREFLIGHT, attempt.number) for attempt in observed.of(PREFLIGHT) if attempt.job is not None)
    return (*old, StartPreflight(view.preflight_key, _next_attempt(observed, PREFLIGHT, told.attempt if told else 0)))


def _began(run: SelfAlignRun, observed: Observed, now: datetime) -> datetime:
    """When this run began: an edit after its end begins it anew."""
    if run.status.completion_time is not None:
        return now
    starts = [attempt.started for attempts in observed.attempts.values() for attempt in attempts]
    return run.status.start_time or min([*starts, now])


def _expiry(run: SelfAlignRun) -> datetime | None:
    """When the processes of a run that has ended are no longer kept for people to look at."""
    ended, seconds = run.status.completion_time, run.spec.ttl_seconds_after_finished
    return ended + timedelta(seconds=seconds) if ended is not None and seconds is not None else None


def _removes(observed: Observed) -> tuple[RemoveAttempt, ...]:
    return tuple(
        RemoveAttempt(id_, attempt.number)
        for id_, attempts in sorted(observed.attempts.items())
        for attempt in attempts
        if not attempt.running and attempt.job is not None and not attempt.stopping
    )


def _stops(run: SelfAlignRun, view: RunState, observed: Observed, *, halted: bool) -> tuple[StopAttempt, ...]:
    wanted = {PREFLIGHT: view.preflight_key} | {
        id_: step.key for id_, step in view.steps.items() if step.needed and step.key is not None
    }
    return tuple(
        StopAttempt(id_, attempt.number)
        for id_, attempt in observed.running().items()
        if not attempt.stopping
        and ((halted and not _asking(run, id_)) or wanted.get(id_) != attempt.key or _outdated(run, attempt))
    )


def _asking(run: SelfAlignRun, id_: str) -> bool:
    """Whether it is the preflight of a run that was refused before, asked again."""
    accepted = run.status.condition("Accepted")
    return id_ == PREFLIGHT and accepted is not None and accepted.status == "False" and not run.spec.suspend


def _outdated(run: SelfAlignRun, attempt: Attempt) -> bool:
    """Whether an edit is to stop even what still fits."""
    return run.spec.on_spec_change == "Restart" and attempt.generation not in (None, run.metadata.generation)


def _starts(run: SelfAlignRun, view: RunState, observed: Observed) -> tuple[Action, ...]:
    running = observed.running()
    if view.answer is None:
        if PREFLIGHT in running or view.preflight.state not in ("new", "retry"):
            return ()
        told = run.status.preflight
        return (StartPreflight(view.preflight_key, _next_attempt(observed, PREFLIGHT, told.attempt if told else 0)),)
    ready = [step for id_, step in view.steps.items() if id_ not in running and view.startable(step)]
    room = len(ready) if observed.slots is None else max(observed.slots - len(running), 0)
    return tuple(_start(run, view, observed, step.step) for step in ready[:room])


def _start(run: SelfAlignRun, view: RunState, observed: Observed, step: Step) -> StartStep:
    sources = {name: view.steps[source] for name, source in step.inputs.items()}
    key, told = view.steps[step.id].key, run.status.steps.get(step.id)
    assert key is not None and view.answer is not None, "only steps with a key are startable"
    return StartStep(
        step=step,
        key=key,
        attempt=_next_attempt(observed, step.id, told.attempt if told else 0),
        inputs={name: ArtifactRef(kind=source.step.kind, key=source.key or "") for name, source in sources.items()},
        leaves={name: view.answer.leaves[name] for name in step.leaves},
    )


def _next_attempt(observed: Observed, id_: str, told: int) -> int:
    """One more than was ever seen: a Job that is gone lives on in the status, and its name is not used again."""
    return max([told, *(attempt.number for attempt in observed.of(id_))]) + 1
