"""Derives where a run stands as a whole, with a reason and a message that name the remedy. Pure.

Several things can be true at once: a step crashed while the deadline passed and the run was suspended. `derive` reports
the most final one, so that the conditions do not alternate between reasons from one reconciliation to the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.values import seconds
from selfalign_operator.planning.failed_attempts import JOB_GONE
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.retries import INPUT_LOST, Verdict
from selfalign_operator.planning.run_state import RunState
from selfalign_stages.contract.graph import GATE_STEP, PUSH_STEP
from selfalign_stages.contract.task import Failure

WAITING_FOR_RUN = "WaitingForRun"
"""Condition reason of a run whose steps wait for another run that makes the same artifacts."""
ConditionStatus = Literal["True", "False", "Unknown"]
"""Values of a condition's `status` field (meta/v1 ConditionStatus)."""


@dataclass(frozen=True)
class RunPhase:
    """Where a run stands.

    Attributes:
        state: decides the conditions. Processes run in "preparing" and "working" only; "refused" is preflight's or the
            schema's refusal of the spec, "failed" is any other final failure of this generation.
        reason: CamelCase reason of the conditions.
        message: what happened and what to do about it.
        accepted: status of the condition Accepted, which is preflight's result.
    """

    state: Literal["preparing", "working", "suspended", "refused", "failed", "ready"]
    reason: str
    message: str = ""
    accepted: ConditionStatus = "Unknown"

    @property
    def halted(self) -> bool:
        """Whether running processes are to be stopped and none started."""
        return self.state not in ("preparing", "working")


def derive(run: SelfAlignRun, state: RunState, *, started: datetime, now: datetime) -> RunPhase:
    """Derives the phase of a run.

    Args:
        run: the run, for spec.suspend and spec.budget.
        state: the state of its steps.
        started: when this run began, from which its deadline counts.
        now: the current time.
    """
    # Most final first: a complete run stays ready even if it is suspended or its deadline passes afterwards.
    phase = (
        _ready(state)
        or _refused(run, state)
        or _step_failed(run, state)
        or _gate_failed(state)
        or _suspended(run, state)
        or _deadline_exceeded(run, started, now)
        or _gpu_budget_exceeded(run, state)
        or _jobs_gone(state)
        or _waiting(state)
        or _waiting_for_run(state)
        or _retrying(state)
        or _beside_orphans(run, state)
        or _in_progress(state)
    )
    return replace(phase, accepted=_accepted(state))


def deadline(run: SelfAlignRun, started: datetime) -> datetime | None:
    """Returns when the run must be complete; None without spec.budget.deadline."""
    limit = run.spec.budget.deadline
    return started + timedelta(seconds=seconds(limit)) if limit else None


def _accepted(state: RunState) -> ConditionStatus:
    result = state.preflight_result
    if state.preflight.failure is not None or (result is not None and result.problems):
        return "False"
    return "True" if result is not None else "Unknown"


def _ready(state: RunState) -> RunPhase | None:
    if not state.complete:
        return None
    if PUSH_STEP in state.steps:
        return RunPhase("ready", "ImagePushed", "all gates passed, the image is in the registry")
    return RunPhase("ready", "ImagePacked", "all gates passed, the image is packed in the artifact store")


def _refused(run: SelfAlignRun, state: RunState) -> RunPhase | None:
    if state.preflight.failure is not None and state.preflight.failure.reason != JOB_GONE:
        failure = state.preflight.failure
        text = f"preflight: {failure.message}{_remedy(run, state.preflight)}"
        return RunPhase("failed", failure.reason, text)
    if state.preflight_result is None or not state.preflight_result.problems:
        return None
    lines = (problem.line for problem in state.preflight_result.problems)
    return RunPhase("refused", "PreflightFailed", "\n".join(lines))


def _step_failed(run: SelfAlignRun, state: RunState) -> RunPhase | None:
    for id_, step in state.steps.items():
        if step.needed and step.verdict.failure is not None and step.verdict.failure.reason != JOB_GONE:
            text = f"{id_}: {step.verdict.failure.message}{_remedy(run, step.verdict)}"
            return RunPhase("failed", step.verdict.failure.reason, text)
    return None


def _remedy(run: SelfAlignRun, verdict: Verdict) -> str:
    """How a failed run goes on without an edit. Empty on one machine, where running it again is enough."""
    if verdict.last is None or verdict.last.job is None:
        return ""
    return f". Once the cause is gone: selfalign retry {run.metadata.name} --namespace {run.metadata.namespace}"


def _gate_failed(state: RunState) -> RunPhase | None:
    gate = state.steps[GATE_STEP].result
    if gate is None or gate.metrics.get("passed") is True:
        return None
    failed = gate.metrics.get("failedGates", "")
    text = f"{GATE_STEP}: gates not passed: {failed}. No image was built; the measured values are in status.evaluation"
    return RunPhase("failed", "GateFailed", text)


def _suspended(run: SelfAlignRun, state: RunState) -> RunPhase | None:
    """Suspended, with what keeps pods from ending all the same."""
    if not run.spec.suspend:
        return None
    refusal = [state.blocked.message] if state.blocked is not None else []
    hangs = [_named(id_, hang).message for id_, hang in state.hangs.items()]
    return RunPhase("suspended", "Suspended", "\n".join(["spec.suspend is true", *refusal, *hangs]))


def _deadline_exceeded(run: SelfAlignRun, started: datetime, now: datetime) -> RunPhase | None:
    limit = deadline(run, started)
    if limit is None or now < limit:
        return None
    allowed = f"spec.budget.deadline ({run.spec.budget.deadline})"
    text = f"not complete within {allowed}: raise it to continue from the published artifacts"
    return RunPhase("failed", "DeadlineExceeded", text)


def _gpu_budget_exceeded(run: SelfAlignRun, state: RunState) -> RunPhase | None:
    limit, used = run.spec.budget.gpu_hours, state.usage.gpu_seconds / 3600 if state.usage else 0
    if limit is None or used < limit:
        return None
    text = (
        f"{used:.2f} GPU hours used, spec.budget.gpuHours allows {limit:g}: "
        "raise it to continue from the published artifacts"
    )
    return RunPhase("failed", "GpuBudgetExceeded", text)


def _jobs_gone(state: RunState) -> RunPhase | None:
    """A process whose Jobs disappear. After all else that stops a run: stopping deletes Jobs, and is no failure."""
    for id_, verdict in _verdicts(state, only_needed=True).items():
        if verdict.failure is not None:
            return RunPhase("failed", verdict.failure.reason, f"{id_}: {verdict.failure.message}")
    return None


def _waiting(state: RunState) -> RunPhase | None:
    """Everything that keeps processes from starting, working or ending; the first cause gives the reason.

    In this order: admission of a planned Job; quota, scheduling and containers of a created one; pods that do not end;
    evictions, which are over, but come back.
    """
    causes = [state.blocked] if state.blocked is not None else []
    running = {
        id_: verdict.last
        for id_, verdict in _verdicts(state, only_needed=False).items()
        if verdict.last is not None and verdict.last.running
    }
    causes += [_named(id_, attempt.pending) for id_, attempt in running.items() if attempt.pending is not None]
    causes += [_named(id_, hang) for id_, hang in state.hangs.items()]
    causes += [_named(id_, attempt.disruption) for id_, attempt in running.items() if attempt.disruption is not None]
    if not causes:
        return None
    return RunPhase(_in_progress(state).state, causes[0].reason, "\n".join(cause.message for cause in causes))


def _named(id_: str, cause: Failure) -> Failure:
    return cause.model_copy(update={"message": f"{id_}: {cause.message}"})


def _waiting_for_run(state: RunState) -> RunPhase | None:
    """Which other run makes an artifact of this one, while it has nothing to run itself."""
    if any(step.verdict.state == "running" for step in state.steps.values() if step.needed):
        return None
    for id_, step in state.steps.items():
        if step.waits_for_run is not None:
            return RunPhase("working", WAITING_FOR_RUN, f"{id_}: {step.waits_for_run.message}")
    return None


def _retrying(state: RunState) -> RunPhase | None:
    """Why a process is retried, reported until the next attempt ends."""
    for id_, step in state.steps.items():
        if step.needed and step.waits_for is not None and (cause := step.verdict.retry_cause) is not None:
            text = f"{id_}: waits for {step.waits_for}, which makes a lost input anew: {cause.message}"
            return RunPhase(_in_progress(state).state, INPUT_LOST, text)
    for id_, verdict in _verdicts(state, only_needed=True).items():
        if verdict.retry_cause is not None:
            text = f"{id_}: retrying after: {verdict.retry_cause.message}"
            return RunPhase(_in_progress(state).state, "Retrying", text)
    return None


def _beside_orphans(run: SelfAlignRun, state: RunState) -> RunPhase | None:
    """Working, beside Jobs of an earlier run of the same name that hold devices for nobody."""
    if not state.orphans:
        return None
    names = " ".join(state.orphans)
    text = (
        f"an earlier run named {run.metadata.name} was deleted without its Jobs (--cascade=orphan), and they still "
        f"run: {names}. This run does not use them. Delete them: kubectl delete job {names}"
    )
    return RunPhase(_in_progress(state).state, "OrphanedJobs", text)


def _verdicts(state: RunState, *, only_needed: bool) -> Mapping[str, Verdict]:
    steps = {id_: step.verdict for id_, step in state.steps.items() if step.needed or not only_needed}
    return {PREFLIGHT: state.preflight} | steps


def _in_progress(state: RunState) -> RunPhase:
    if state.preflight_result is None:
        return RunPhase("preparing", "Preflight", "resolving inputs and searching the store for finished steps")
    stage = next((step.step.stage for step in state.steps.values() if step.needed and not step.done), "packaging")
    return RunPhase("working", stage[0].upper() + stage[1:])
