"""What a run makes, has made and waits for, as other runs need to know it (`equal_keys`). Pure."""

from collections.abc import Collection
from datetime import datetime

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.planning import equal_keys
from selfalign_operator.planning.equal_keys import OWN_KINDS, Made, Making, Work
from selfalign_operator.planning.run_state import RunState, StepState


def work(run: SelfAlignRun, state: RunState, *, starting: Collection[str], halted: bool) -> Work:
    """Sums up the work of a run.

    Args:
        run: the run, with the previous status, which has the end of steps whose Jobs are gone.
        state: the state of its steps.
        starting: ids of the steps that the plan starts.
        halted: whether the run has ended or is suspended, so that nobody may wait for it.
    """
    shared = {step.key: step for step in state.steps.values() if step.key and step.step.kind not in OWN_KINDS}
    making = {
        key: _making(run, step, starting=step.step.id in starting)
        for key, step in shared.items()
        if not halted and (step.step.id in starting or _is_being_made(state, step))
    }
    made = {
        key: Made(step.result, at)
        for key, step in shared.items()
        if step.result is not None and (at := _published_at(run, step)) is not None
    }
    waiting = () if halted else tuple(key for key, step in shared.items() if step.waits_for_run is not None)
    return Work(making=making, made=made, waiting=waiting, finished=halted)


def _is_being_made(state: RunState, step: StepState) -> bool:
    """Whether an attempt exists, or the next one is due after a crash."""
    if step.verdict.state == "running":
        return step.needed
    return step.verdict.state in ("waiting", "retry") and state.ready(step) and step.waits_for_run is None


def _making(run: SelfAlignRun, step: StepState, *, starting: bool) -> Making:
    pending = _pending(step)
    # computed for the few Jobs whose placement anybody asks for
    where = equal_keys.placement(run) if pending in equal_keys.IN_QUEUE else ""
    return Making(step.step.id, pending, starting=starting, placement=where)


def _pending(step: StepState) -> str | None:
    last = step.verdict.last
    return last.pending.reason if last is not None and last.running and last.pending is not None else None


def _published_at(run: SelfAlignRun, step: StepState) -> datetime | None:
    """When an attempt of this run published the artifact; None for what it found in the store or took over."""
    if step.verdict.state == "done" and step.verdict.last is not None:
        return step.verdict.last.finished
    recorded = run.status.steps.get(step.step.id)
    return recorded.completion_time if recorded is not None and recorded.key == step.key else None
