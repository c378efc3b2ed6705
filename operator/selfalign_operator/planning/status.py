"""Builds the status of a run from its derived state. Pure.

All times come from the observation or from the previous status, never from a clock: an unchanged observation gives an
equal status, which the operator then does not write. Two clocks would make every reconciliation a write.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import get_args

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
from selfalign_operator.planning import conditions, retry, truncation
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.run_phase import RunPhase
from selfalign_operator.planning.run_state import RunState, StepState
from selfalign_operator.planning.waiting import Beginning
from selfalign_stages.contract.counts import Counts
from selfalign_stages.contract.graph import GATE_STEP, Kind, StageName

HISTORY = 5
"""Earlier generations listed in status.history, at a few hundred bytes each: targets of a rollback."""
SHORT_DIGEST = 12
"""Hexadecimal characters of a digest in tables, as in the output of container tools."""
REPRESENTATIVE_KIND: dict[StageName, Kind] = {
    "import": "import",
    "redTeaming": "prompts",
    "selfAlign": "answers",
    "engraving": "train",
    "cloning": "verbose-answers",
    "evaluation": "gate",
    "packaging": "image",
}
"""Kind of the step whose key and row counts its stage reports: the one that makes the stage's product."""


def build(run: SelfAlignRun, state: RunState, phase: RunPhase, *, started: datetime, now: datetime) -> RunStatus:
    """Builds the whole status.

    Args:
        run: the run, with the previous status: transition times, and steps whose Jobs are gone, are taken from it.
        state: the derived state of its steps.
        phase: where the run stands.
        started: when the run began.
        now: completion time of a run that ends with this status, and transition time of changed conditions.
    """
    previous_steps = run.status.steps
    steps = [_step(step, previous_steps.get(id_), state.beginning(id_), now) for id_, step in state.steps.items()]
    stages = _stages(state, steps)
    # A suspended run has not ended: its clock continues, and resuming is no new start.
    ended = phase.state in ("ready", "refused", "failed")
    preflight_result = state.preflight_result
    return RunStatus(
        observed_generation=run.metadata.generation,
        phase=_phase(phase, stages),
        stage=_current_stage(stages) if phase.state == "working" else None,
        progress=_percent(state),
        start_time=started,
        completion_time=now if ended else None,
        conditions=conditions.build(run.metadata.generation, run.status, phase, now),
        preflight=_preflight(run, state),
        store=state.store,
        problems=truncation.problems(preflight_result.problems) if preflight_result else (),
        warnings=truncation.warnings(preflight_result.warnings) if preflight_result else (),
        stages=stages,
        evaluation=_evaluation(state),
        image=_image(state),
        gpu_hours=round(state.usage.gpu_seconds / 3600, 2) if state.usage else None,
        usage=state.usage,
        retry=retry.status(run, state.retry, [*state.steps]),
        run_uid=run.metadata.uid,
        history=history(run),
    )


def _preflight(run: SelfAlignRun, state: RunState) -> PreflightStatus:
    last, previous = state.preflight.last, run.status.preflight
    same_key = previous if previous is not None and previous.key == state.preflight_key else None
    beginning = state.beginning(PREFLIGHT)
    return PreflightStatus(
        key=state.preflight_key,
        # The number survives a change of the key: the names of earlier Jobs are not used a second time.
        attempt=last.number if last is not None else previous.attempt if previous is not None else 0,
        job_name=last.job if last is not None else same_key.job_name if same_key is not None else None,
        ran=beginning.ran or None,
        form=beginning.form,
        failed=state.preflight_failed if state.preflight.state != "done" else None,
        leaves=state.preflight_result.leaves if state.preflight_result is not None else {},
    )


def history(run: SelfAlignRun) -> tuple[PastGeneration, ...]:
    """Returns the history of a run: a generation that ended Ready joins it once another generation is observed.

    Args:
        run: the run, with the previous status.
    """
    previous = run.status
    if not previous.ready or previous.image is None or previous.completion_time is None:
        return previous.history
    if previous.observed_generation == run.metadata.generation:
        return previous.history
    past = PastGeneration(
        generation=previous.observed_generation,
        image=previous.image.reference,
        digest=previous.image.digest,
        completion_time=previous.completion_time,
    )
    return (past, *previous.history)[:HISTORY]


def _phase(phase: RunPhase, stages: Sequence[StageStatus]) -> str:
    if phase.state == "working":
        stage = _current_stage(stages) or "packaging"
        return stage[0].upper() + stage[1:]
    return {"preparing": "Preflight", "suspended": "Suspended", "ready": "Ready"}.get(phase.state, "Failed")


def _current_stage(stages: Sequence[StageStatus]) -> StageName | None:
    return next((stage.name for stage in stages if stage.state not in ("Succeeded", "Skipped")), None)


def _percent(state: RunState) -> str | None:
    """Finished share of the steps, each with equal weight; a running step counts by its own progress."""
    if state.preflight_result is None or state.preflight_result.problems:
        return None
    counted = [step for step in state.steps.values() if step.done or step.needed]
    return f"{100 * sum(map(_finished_share, counted)) // max(len(counted), 1):.0f}%"


def _finished_share(step: StepState) -> float:
    progress = _progress(step)
    if step.done or progress is None:
        return float(step.done)
    return min(progress.done / progress.total, 1) if progress.total > 0 else 0


def _step(step: StepState, previous: StepStatus | None, beginning: Beginning, now: datetime) -> StepStatus:
    last, result = step.verdict.last, step.result
    # Without a Job nothing new is known of a finished step: its recorded times and counts stay.
    recorded = previous is not None and previous.key == step.key and previous.state == "Succeeded"
    if last is None and result is not None and previous is not None and recorded:
        return previous.model_copy(update={"state": "Succeeded", "cache": result.cache, "digest": result.digest})
    counts = _counts(step)
    return StepStatus(
        name=step.step.id,
        kind=step.step.kind,
        key=step.key,
        state=_state(step),
        cache=result.cache if result is not None else None,
        attempt=last.number if last is not None else previous.attempt if previous is not None else 0,
        rows=counts.rows if counts is not None else None,
        kept=counts.kept if counts is not None else None,
        rejected=truncation.rejected(counts.rejected) if counts is not None else {},
        start_time=last.started if last is not None else None,
        completion_time=last.finished if last is not None else None,
        seconds=_seconds(step),
        progress=_progress_since(step, previous, now),
        loss=_loss(step, "loss", finished="lastLoss"),
        validation_loss=_loss(step, "validationLoss", finished="lastValidationLoss"),
        digest=result.digest if result is not None else None,
        job_name=last.job if last is not None else None,
        gpu_seconds=step.gpu_seconds or None,
        preempted=_preempted(step),
        waits_for_run=step.waits_for_run.run if step.waits_for_run is not None else None,
        ran=beginning.ran or None,
        form=beginning.form,
        failed=step.failed if not step.done else None,
        message=_message(step),
    )


def _message(step: StepState) -> str | None:
    """Why the step failed, why its running attempt is pending, or what its next attempt waits for."""
    if step.waits_for_run is not None:
        return truncation.text(step.waits_for_run.message, truncation.HINT_BYTES)
    if step.waits_for is not None:
        return f"waits for {step.waits_for}, which makes a lost input anew"
    last = step.verdict.last
    waits = (
        (last.pending or last.hang or last.disruption) if last is not None and (last.running or last.outlived) else None
    )
    failure = step.verdict.failure or waits
    return truncation.text(failure.message, truncation.HINT_BYTES) if failure is not None else None


def _preempted(step: StepState) -> Preemptions | None:
    """Preemptions, if there were any; of an unfinished step also the pod count, which later counts are derived from."""
    count = step.preempted
    return count if count is not None and (count.total or (count.pods and not step.done)) else None


def _counts(step: StepState) -> Counts | None:
    """Row counts of the artifact or of the failure; None for steps that do not process rows."""
    failure = step.verdict.failure
    counts = step.result.counts if step.result is not None else failure.counts if failure is not None else None
    return counts if counts is not None and (counts.rows or counts.rejected) else None


def _seconds(step: StepState) -> float | None:
    """Wall time of the attempt that published the artifact; of a hit, as the artifact's manifest records it."""
    last = step.verdict.last
    if step.result is None:
        return None
    if last is None or last.finished is None or step.verdict.state != "done":
        return step.result.seconds
    return round((last.finished - last.started).total_seconds(), 1)


def _state(step: StepState) -> State:
    if step.done:
        return "Succeeded"
    if step.key is not None and not step.needed:
        return "Skipped"
    if step.waits_for_run is not None:
        return "Waiting"
    states: dict[str, State] = {"running": "Running", "waiting": "Waiting", "retry": "Waiting", "failed": "Failed"}
    return states.get(step.verdict.state, "Pending")


def _progress(step: StepState) -> StepProgress | None:
    last = step.verdict.last
    if last is None or not last.running or last.progress is None:
        return None
    progress = last.progress
    return StepProgress(
        done=progress.done, total=progress.total, unit=progress.unit, rate=progress.rate, eta=progress.eta
    )


def _progress_since(step: StepState, previous: StepStatus | None, now: datetime) -> StepProgress | None:
    """Progress with the moment of its last change. A pod that does not answer keeps what it reported before."""
    last, progress = step.verdict.last, _progress(step)
    if last is None or not (last.running or last.outlived):
        return None
    same = previous is not None and (previous.key, previous.attempt) == (step.key, last.number)
    before = previous.progress if previous is not None and same else None
    if progress is None or last.progress is None:
        return before
    changed = before.changed if before is not None and before.equals(last.progress) else now
    return progress.model_copy(update={"changed": changed})


def _loss(step: StepState, name: str, *, finished: str) -> float | None:
    """The loss of a training, by its name among the metrics of the progress or, at the end, of the artifact."""
    if step.result is not None:
        value = step.result.metrics.get(finished)
    else:
        last = step.verdict.last
        value = last.progress.metrics.get(name) if last is not None and last.progress is not None else None
    return float(value) if isinstance(value, (int, float)) else None


def _stages(state: RunState, steps: Sequence[StepStatus]) -> tuple[StageStatus, ...]:
    # In the method's order, not the graph's: the first steps of the evaluation run right after the import.
    by_stage = {
        name: tuple(step for step in steps if state.steps[step.name].step.stage == name) for name in get_args(StageName)
    }
    return tuple(_stage(name, members) for name, members in by_stage.items() if members)


def _stage(name: StageName, steps: tuple[StepStatus, ...]) -> StageStatus:
    representative = next(step for step in steps if step.kind == REPRESENTATIVE_KIND[name])
    # A skipped step was neither run nor searched in the store: it decides neither hit nor miss.
    caches = {step.cache for step in steps if step.state != "Skipped"}
    done = all(step.state in ("Succeeded", "Skipped") for step in steps)
    starts = [step.start_time for step in steps if step.start_time is not None]
    ends = [step.completion_time for step in steps if step.completion_time is not None]
    return StageStatus(
        name=name,
        state=_stage_state([step.state for step in steps]),
        key=representative.key,
        cache=("Hit" if caches <= {"Hit"} else "Miss") if done else None,
        rows=representative.rows,
        kept=representative.kept,
        rejected=representative.rejected,
        start_time=min(starts, default=None),
        completion_time=max(ends, default=None) if done else None,
        seconds=_stage_seconds(steps) if done else None,
        steps=steps,
    )


def _stage_seconds(steps: Sequence[StepStatus]) -> float:
    """Wall time during which at least one step ran; for hits, the sum of the seconds that their artifacts record."""
    intervals = sorted(
        (step.start_time, step.completion_time)
        for step in steps
        if step.start_time is not None and step.completion_time is not None
    )
    if not intervals:
        return round(sum(step.seconds or 0 for step in steps), 1)
    # Length of the union of the intervals, which are sorted by their start.
    total, covered_until = timedelta(), intervals[0][0]
    for start, end in intervals:
        total += max(end - max(start, covered_until), timedelta())
        covered_until = max(covered_until, end)
    return round(total.total_seconds(), 1)


def _stage_state(states: Sequence[State]) -> State:
    most_urgent_first: tuple[State, ...] = ("Failed", "Running", "Waiting")
    for state in most_urgent_first:
        if state in states:
            return state
    if all(state == "Skipped" for state in states):
        return "Skipped"
    return "Succeeded" if all(state in ("Succeeded", "Skipped") for state in states) else "Pending"


def _evaluation(state: RunState) -> EvaluationStatus | None:
    gate = state.steps[GATE_STEP].result
    if gate is None:
        return None
    # Only VARIANT.SUITE.METRIC names contain a dot; `passed` and `failedGates` are fields of their own.
    values = {name: float(value) for name, value in gate.metrics.items() if "." in name and not isinstance(value, str)}
    failed = gate.metrics.get("failedGates", "")
    return EvaluationStatus(
        passed=gate.metrics.get("passed") is True,
        failed_gates=truncation.text(str(failed), truncation.HINT_BYTES),
        metrics=truncation.metrics(values),
    )


def _image(state: RunState) -> ImageStatus | None:
    """The image of the last goal: pushed if the run names a repository, else packed."""
    result = state.steps[state.goals[-1]].result
    if result is None or not state.gate_passed:
        return None
    size = result.metrics.get("size")
    reference, digest = str(result.metrics.get("image", "")), str(result.metrics.get("digest", ""))
    return ImageStatus(
        reference=reference,
        digest=digest,
        short=f"{_image_name(reference)}@{digest[: len('sha256:') + SHORT_DIGEST]}",
        size=int(size) if isinstance(size, int | float) else None,
    )


def _image_name(reference: str) -> str:
    """Last path component of a reference, without registry, tag and digest."""
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[0]
