"""Where a run stands as a whole: preparing, working, suspended, failed or ready, with a reason a person can act on."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.values import seconds
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.run_state import RunState
from selfalign_stages.contract.graph import GATE_STEP, PUSH_STEP

Truth = Literal["True", "False", "Unknown"]
"""Of a condition."""


@dataclass(frozen=True)
class RunPhase:
    """`state` decides the conditions; in all but the first two nothing may run. `accepted` is preflight's answer."""

    state: Literal["preparing", "working", "suspended", "refused", "failed", "ready"]
    reason: str
    message: str = ""
    accepted: Truth = "Unknown"

    @property
    def halted(self) -> bool:
        """Whether what runs is to be stopped."""
        return self.state not in ("preparing", "working")


def judge(run: SelfAlignRun, view: RunState, *, started: datetime, now: datetime) -> RunPhase:
    """The first thing that holds, most final first."""
    first = (
        _ready(view)
        or _refused(view)
        or _failed(view)
        or _gates(view)
        or _suspended(run)
        or _overdue(run, started, now)
        or _overspent(run, view)
        or _held(view)
        or _set_back(view)
        or _going(view)
    )
    return replace(first, accepted=_accepted(view))


def _accepted(view: RunState) -> Truth:
    if view.preflight.failure is not None or (view.answer is not None and view.answer.problems):
        return "False"
    return "True" if view.answer is not None else "Unknown"


def deadline(run: SelfAlignRun, started: datetime) -> datetime | None:
    """When the run has to be done."""
    limit = run.spec.budget.deadline
    return started + timedelta(seconds=seconds(limit)) if limit else None


def _ready(view: RunState) -> RunPhase | None:
    if not view.complete:
        return None
    if PUSH_STEP in view.steps:
        return RunPhase("ready", "ImagePushed", "all gates passed and the registry has the image")
    return RunPhase("ready", "ImagePacked", "all gates passed and the image is packed")


def _refused(view: RunState) -> RunPhase | None:
    if view.preflight.failure is not None:
        failure = view.preflight.failure
        return RunPhase("failed", failure.reason, f"preflight: {failure.message}")
    if view.answer is None or not view.answer.problems:
        return None
    return RunPhase("refused", "PreflightFailed", "\n".join(problem.line for problem in view.answer.problems))


def _failed(view: RunState) -> RunPhase | None:
    for id_, step in view.steps.items():
        if step.needed and step.verdict.failure is not None:
            return RunPhase("failed", step.verdict.failure.reason, f"{id_}: {step.verdict.failure.message}")
    return None


def _gates(view: RunState) -> RunPhase | None:
    gate = view.steps[GATE_STEP].result
    if gate is None or gate.metrics.get("passed") is True:
        return None
    failed = gate.metrics.get("failedGates", "")
    return RunPhase("failed", "GateFailed", f"evaluation-gate: not passed: {failed}; nothing was packaged")


def _suspended(run: SelfAlignRun) -> RunPhase | None:
    return RunPhase("suspended", "Suspended", "spec.suspend is true") if run.spec.suspend else None


def _overdue(run: SelfAlignRun, started: datetime, now: datetime) -> RunPhase | None:
    limit = deadline(run, started)
    if limit is None or now < limit:
        return None
    text = f"not done within spec.budget.deadline ({run.spec.budget.deadline}); raise it to go on from what exists"
    return RunPhase("failed", "DeadlineExceeded", text)


def _overspent(run: SelfAlignRun, view: RunState) -> RunPhase | None:
    limit, used = run.spec.budget.gpu_hours, view.usage.gpu_seconds / 3600 if view.usage else 0
    if limit is None or used < limit:
        return None
    text = f"{used:.2f} GPU hours were used, spec.budget.gpuHours allows {limit:g}; raise it to go on from what exists"
    return RunPhase("failed", "GpuBudgetExceeded", text)


def _held(view: RunState) -> RunPhase | None:
    """What keeps a process from starting, or a started one from running: no room, no image, no quota."""
    if view.blocked is not None:
        return RunPhase(_going(view).state, view.blocked.reason, view.blocked.message)
    verdicts = {PREFLIGHT: view.preflight} | {id_: step.verdict for id_, step in view.steps.items()}
    for id_, verdict in verdicts.items():
        last = verdict.last
        if last is not None and last.running and last.pending is not None:
            state = _going(view).state
            return RunPhase(state, last.pending.reason, f"{id_}: {last.pending.message}")
    return None


def _set_back(view: RunState) -> RunPhase | None:
    """Why a process is tried again, until the next attempt ends."""
    verdicts = {PREFLIGHT: view.preflight} | {id_: step.verdict for id_, step in view.steps.items() if step.needed}
    for id_, verdict in verdicts.items():
        if verdict.retry_cause is not None:
            return RunPhase(
                _going(view).state, "Retrying", f"{id_} is tried again after: {verdict.retry_cause.message}"
            )
    return None


def _going(view: RunState) -> RunPhase:
    if view.answer is None:
        return RunPhase("preparing", "Preflight", "resolves inputs and looks for finished steps")
    stage = next((step.step.stage for step in view.steps.values() if step.needed and not step.done), "packaging")
    return RunPhase("working", stage[0].upper() + stage[1:])
