"""Builds a run's status from what the plan sees. Pure: times come from the observation or from the status before."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import (
    EvaluationStatus,
    ImageStatus,
    PastGeneration,
    Preemptions,
    PreflightStatus,
    RunStatus,
    StageStatus,
    State,
    StepProgress,
    StepStatus,
)
from selfalign_operator.planning import conditions, truncation
from selfalign_operator.planning.run_phase import RunPhase
from selfalign_operator.planning.run_state import RunState, StepState
from selfalign_stages.contract.graph import GATE_STEP, Kind, StageName
from selfalign_stages.contract.manifest import Counts

HISTORY = 5
SHORT_DIGEST = 12
ABOUT: dict[StageName, Kind] = {
    "import": "import",
    "redTeaming": "prompts",
    "selfAlign": "answers",
    "engraving": "train",
    "cloning": "verbose-answers",
    "evaluation": "gate",
    "packaging": "image",
}
"""The step kind whose key and counts stand for a stage."""


def build(run: SelfAlignRun, view: RunState, outcome: RunPhase, *, started: datetime, now: datetime) -> RunStatus:
    """The whole status; equal input gives an equal status."""
    before = run.status.steps
    steps = [_step(step, before.get(id_)) for id_, step in view.steps.items()]
    stages = _stages(view, steps)
    over = outcome.state in ("ready", "refused", "failed")
    return RunStatus(
        observed_generation=run.metadata.generation,
        phase=_phase(outcome, stages),
        stage=_current(stages) if outcome.state == "working" else None,
        progress=_percent(view),
        start_time=started,
        completion_time=now if over else None,
        conditions=conditions.build(run.metadata.generation, run.status, outcome, now),
        preflight=_preflight(run, view),
        problems=truncation.problems(view.answer.problems) if view.answer else (),
        warnings=truncation.warnings(view.answer.warnings) if view.answer else (),
        stages=stages,
        evaluation=_evaluation(view),
        image=_image(view),
        gpu_hours=round(view.usage.gpu_seconds / 3600, 2) if view.usage else None,
        usage=view.usage,
        history=_history(run),
    )


def _preflight(run: SelfAlignRun, view: RunState) -> PreflightStatus:
    last, before = view.preflight.last, run.status.preflight
    kept = before if before is not None and before.key == view.preflight_key else None
    return PreflightStatus(
        key=view.preflight_key,
        attempt=last.number if last is not None else before.attempt if before is not None else 0,
        job_name=last.job if last is not None else kept.job_name if kept is not None else None,
        leaves=view.answer.leaves if view.answer is not None else {},
    )


def _history(run: SelfAlignRun) -> tuple[PastGeneration, ...]:
    """What the status before says of its own generation moves here when another one begins."""
    told = run.status
    if not told.ready or told.image is None or told.completion_time is None:
        return told.history
    if told.observed_generation == run.metadata.generation:
        return told.history
    past = PastGeneration(
        generation=told.observed_generation,
        image=told.image.reference,
        digest=told.image.digest,
        completion_time=told.completion_time,
    )
    return (past, *told.history)[:HISTORY]


def _phase(outcome: RunPhase, stages: Sequence[StageStatus]) -> str:
    if outcome.state == "working":
        stage = _current(stages) or "packaging"
        return stage[0].upper() + stage[1:]
    fixed = {"preparing": "Preflight", "suspended": "Suspended", "ready": "Ready"}
    return fixed.get(outcome.state, "Failed")


def _current(stages: Sequence[StageStatus]) -> StageName | None:
    return next((stage.name for stage in stages if stage.state not in ("Succeeded", "Skipped")), None)


def _percent(view: RunState) -> str | None:
    if view.answer is None or view.answer.problems:
        return None
    counted = [step for step in view.steps.values() if step.done or step.needed]
    return f"{100 * sum(map(_part_done, counted)) // max(len(counted), 1):.0f}%"


def _part_done(step: StepState) -> float:
    told = _progress(step)
    if step.done or told is None:
        return float(step.done)
    return min(told.done / told.total, 1) if told.total > 0 else 0


def _step(view: StepState, before: StepStatus | None) -> StepStatus:
    last, result = view.verdict.last, view.result
    if last is None and result is not None and before is not None and before.key == view.key:
        return before.model_copy(update={"state": "Succeeded", "cache": result.cache, "digest": result.digest})
    counts = _counts(view)
    return StepStatus(
        name=view.step.id,
        kind=view.step.kind,
        key=view.key,
        state=_state(view),
        cache=result.cache if result is not None else None,
        attempt=last.number if last is not None else before.attempt if before is not None else 0,
        rows=counts.rows if counts is not None else None,
        kept=counts.kept if counts is not None else None,
        rejected=truncation.rejected(counts.rejected) if counts is not None else {},
        start_time=last.started if last is not None else None,
        completion_time=last.finished if last is not None else None,
        seconds=_seconds(view),
        progress=_progress(view),
        digest=result.digest if result is not None else None,
        job_name=last.job if last is not None else None,
        gpu_seconds=view.gpu_seconds or None,
        preempted=_preempted(view),
        message=_message(view),
    )


def _message(view: StepState) -> str | None:
    """Why it failed, or why it cannot begin."""
    last = view.verdict.last
    told = view.verdict.failure or (last.pending if last is not None and last.running else None)
    return truncation.text(told.message, truncation.HINT_BYTES) if told is not None else None


def _preempted(view: StepState) -> Preemptions | None:
    """Kept while the step may yet be stopped, and where it was."""
    found = view.preempted
    return found if found is not None and (found.total or (found.pods and not view.done)) else None


def _counts(view: StepState) -> Counts | None:
    """What the artifact counts, or what a failure says it counted; None where nothing is counted in rows."""
    failure = view.verdict.failure
    counts = view.result.counts if view.result is not None else failure.counts if failure is not None else None
    return counts if counts is not None and (counts.rows or counts.rejected) else None


def _seconds(view: StepState) -> float | None:
    """Wall time of the attempt that published the artifact, ours if it was, else as its manifest tells."""
    last = view.verdict.last
    if view.result is None:
        return None
    if last is None or last.finished is None or view.verdict.state != "done":
        return view.result.seconds
    return round((last.finished - last.started).total_seconds(), 1)


def _state(view: StepState) -> State:
    if view.done:
        return "Succeeded"
    if view.key is not None and not view.needed:
        return "Skipped"
    states: dict[str, State] = {"running": "Running", "waiting": "Waiting", "retry": "Waiting", "failed": "Failed"}
    return states.get(view.verdict.state, "Pending")


def _progress(view: StepState) -> StepProgress | None:
    last = view.verdict.last
    if last is None or not last.running or last.progress is None:
        return None
    told = last.progress
    return StepProgress(done=told.done, total=told.total, unit=told.unit, rate=told.rate, eta=told.eta)


def _stages(view: RunState, steps: Sequence[StepStatus]) -> tuple[StageStatus, ...]:
    names = dict.fromkeys(step.step.stage for step in view.steps.values())
    of_stage = {name: tuple(step for step in steps if view.steps[step.name].step.stage == name) for name in names}
    return tuple(_stage(name, members) for name, members in of_stage.items())


def _stage(name: StageName, steps: tuple[StepStatus, ...]) -> StageStatus:
    about = next(step for step in steps if step.kind == ABOUT[name])
    caches = {step.cache for step in steps if step.state != "Skipped"}
    done = all(step.state in ("Succeeded", "Skipped") for step in steps)
    starts = [step.start_time for step in steps if step.start_time is not None]
    ends = [step.completion_time for step in steps if step.completion_time is not None]
    return StageStatus(
        name=name,
        state=_sum_up([step.state for step in steps]),
        key=about.key,
        cache=("Hit" if caches <= {"Hit"} else "Miss") if done else None,
        rows=about.rows,
        kept=about.kept,
        rejected=about.rejected,
        start_time=min(starts, default=None),
        completion_time=max(ends, default=None) if done else None,
        seconds=_spent(steps) if done else None,
        steps=steps,
    )


def _spent(steps: Sequence[StepStatus]) -> float:
    """Wall time in which any step worked; for hits, what the steps took when they were made."""
    spans = sorted(
        (step.start_time, step.completion_time)
        for step in steps
        if step.start_time is not None and step.completion_time is not None
    )
    if not spans:
        return round(sum(step.seconds or 0 for step in steps), 1)
    total, until = timedelta(), spans[0][0]
    for start, end in spans:
        total += max(end - max(start, until), timedelta())
        until = max(until, end)
    return round(total.total_seconds(), 1)


def _sum_up(states: Sequence[State]) -> State:
    urgent: tuple[State, ...] = ("Failed", "Running", "Waiting")
    for state in urgent:
        if state in states:
            return state
    if all(state == "Skipped" for state in states):
        return "Skipped"
    return "Succeeded" if all(state in ("Succeeded", "Skipped") for state in states) else "Pending"


def _evaluation(view: RunState) -> EvaluationStatus | None:
    gate = view.steps[GATE_STEP].result
    if gate is None:
        return None
    numbers = {name: float(value) for name, value in gate.metrics.items() if "." in name and not isinstance(value, str)}
    failed = gate.metrics.get("failedGates", "")
    return EvaluationStatus(
        passed=gate.metrics.get("passed") is True,
        failed_gates=truncation.text(str(failed), truncation.HINT_BYTES),
        metrics=truncation.metrics(numbers),
    )


def _name(reference: str) -> str:
    """The last part of a repository: without registry, path, tag and digest."""
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[0]


def _image(view: RunState) -> ImageStatus | None:
    result = view.steps[view.goals[-1]].result
    if result is None or not view.gate_passed:
        return None
    size = result.metrics.get("size")
    reference, digest = str(result.metrics.get("image", "")), str(result.metrics.get("digest", ""))
    return ImageStatus(
        reference=reference,
        digest=digest,
        short=f"{_name(reference)}@{digest[: len('sha256:') + SHORT_DIGEST]}",
        size=int(size) if isinstance(size, int | float) else None,
    )
