"""Where a run stands as a whole: preparing, working, suspended, failed or ready, with a reason a person can act on."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.values import seconds
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.view import View

Truth = Literal["True", "False", "Unknown"]
"""Of a condition."""


@dataclass(frozen=True)
class Outcome:
    """`state` decides the conditions; in all but the first two nothing may run. `accepted` is preflight's answer."""

    state: Literal["preparing", "working", "suspended", "refused", "failed", "ready"]
    reason: str
    message: str = ""
    accepted: Truth = "Unknown"

    @property
    def halted(self) -> bool:
        """Whether what runs is to be stopped."""
        return self.state not in ("preparing", "working")


def judge(run: SelfAlignRun, view: View, *, started: datetime, now: datetime) -> Outcome:
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


def _accepted(view: View) -> Truth:
    if view.preflight.failure is not None or (view.answer is not None and view.answer.problems):
        return "False"
    return "True" if view.answer is not None else "Unknown"


def deadline(run: SelfAlignRun, started: datetime) -> datetime | None:
    """When the run has to be done."""
    limit = run.spec.budget.deadline
    return started + timedelta(seconds=seconds(limit)) if limit else None


def _ready(view: View) -> Outcome | None:
    if not view.complete:
        return None
    if "packaging-push" in view.steps:
        return Outcome("ready", "ImagePushed", "all gates passed and the registry has the image")
    return Outcome("ready", "ImagePacked", "all gates passed and the image is packed")


def _refused(view: View) -> Outcome | None:
    if view.preflight.failure is not None:
        failure = view.preflight.failure
        return Outcome("failed", failure.reason, f"preflight: {failure.message}")
    if view.answer is None or not view.answer.problems:
        return None
    return Outcome("refused", "PreflightFailed", "\n".join(problem.line for problem in view.answer.problems))


def _failed(view: View) -> Outcome | None:
    for id_, step in view.steps.items():
        if step.needed and step.verdict.failure is not None:
            return Outcome("failed", step.verdict.failure.reason, f"{id_}: {step.verdict.failure.message}")
    return None


def _gates(view: View) -> Outcome | None:
    gate = view.steps["evaluation-gate"].result
    if gate is None or gate.metrics.get("passed") is True:
        return None
    failed = gate.metrics.get("failedGates", "")
    return Outcome("failed", "GateFailed", f"evaluation-gate: not passed: {failed}; nothing was packaged")


def _suspended(run: SelfAlignRun) -> Outcome | None:
    return Outcome("suspended", "Suspended", "spec.suspend is true") if run.spec.suspend else None


def _overdue(run: SelfAlignRun, started: datetime, now: datetime) -> Outcome | None:
    limit = deadline(run, started)
    if limit is None or now < limit:
        return None
    text = f"not done within spec.budget.deadline ({run.spec.budget.deadline}); raise it to go on from what exists"
    return Outcome("failed", "DeadlineExceeded", text)


def _overspent(run: SelfAlignRun, view: View) -> Outcome | None:
    limit, used = run.spec.budget.gpu_hours, view.usage.gpu_seconds / 3600 if view.usage else 0
    if limit is None or used < limit:
        return None
    text = f"{used:.2f} GPU hours were used, spec.budget.gpuHours allows {limit:g}; raise it to go on from what exists"
    return Outcome("failed", "GpuBudgetExceeded", text)


def _held(view: View) -> Outcome | None:
    """What keeps a process from starting, or a started one from running: no room, no image, no quota."""
    if view.blocked is not None:
        return Outcome(_going(view).state, view.blocked.reason, view.blocked.message)
    verdicts = {PREFLIGHT: view.preflight} | {id_: step.verdict for id_, step in view.steps.items()}
    for id_, verdict in verdicts.items():
        last = verdict.last
        if last is not None and last.running and last.held is not None:
            state = _going(view).state
            return Outcome(state, last.held.reason, f"{id_}: {last.held.message}")
    return None


def _set_back(view: View) -> Outcome | None:
    """Why a process is tried again, until the next attempt ends."""
    verdicts = {PREFLIGHT: view.preflight} | {id_: step.verdict for id_, step in view.steps.items() if step.needed}
    for id_, verdict in verdicts.items():
        if verdict.setback is not None:
            return Outcome(_going(view).state, "Retrying", f"{id_} is tried again after: {verdict.setback.message}")
    return None


def _going(view: View) -> Outcome:
    if view.answer is None:
        return Outcome("preparing", "Preflight", "resolves inputs and looks for finished steps")
    stage = next((step.step.stage for step in view.steps.values() if step.needed and not step.done), "packaging")
    return Outcome("working", stage[0].upper() + stage[1:])
