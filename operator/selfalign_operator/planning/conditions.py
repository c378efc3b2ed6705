"""Builds the conditions of a run for kstatus, GitOps tools and people. Pure.

kstatus (sigs.k8s.io/cli-utils) reports InProgress while Reconciling is True and Failed while Stalled is True; Flux and
Helm 4 wait by it. All conditions are therefore derived together from one RunPhase. Setting each where its event occurs
was rejected: an interrupted write could leave Stalled and Ready both True.
"""

from collections.abc import Sequence
from datetime import datetime

from selfalign_operator.api.status import Condition, ConditionType, RunStatus
from selfalign_operator.planning import truncation
from selfalign_operator.planning.run_phase import ConditionStatus, RunPhase
from selfalign_stages.contract.task import Problem

STATUS_BY_STATE: dict[ConditionType, dict[str, ConditionStatus]] = {
    "Reconciling": {"preparing": "True", "working": "True"},
    "Stalled": {"refused": "True", "failed": "True"},
    "Succeeded": {"ready": "True", "refused": "False", "failed": "False"},
    "Ready": {"ready": "True"},
}
"""Status of each condition by RunPhase.state. Accepted is missing: it is preflight's result, not a state."""
DEFAULT_STATUS: dict[ConditionType, ConditionStatus] = {
    "Reconciling": "False",
    "Stalled": "False",
    "Succeeded": "Unknown",
    "Ready": "False",
}
"""Status of a condition in every state that STATUS_BY_STATE does not list."""
EXPLAINING: dict[ConditionType, ConditionStatus] = {"Accepted": "False", "Reconciling": "True", "Stalled": "True"}
"""Conditions, with the status in which they explain the run's state and carry the long message. The others carry its
beginning, so that the size of a status does not grow with the number of conditions."""


def build(generation: int, previous: RunStatus, phase: RunPhase, now: datetime) -> tuple[Condition, ...]:
    """Builds all five conditions of a run.

    Args:
        generation: metadata.generation of the run, which becomes observedGeneration.
        previous: the status before. A condition whose status is unchanged keeps its lastTransitionTime.
        phase: where the run stands, and why.
        now: transition time of the conditions that change.

    Returns:
        Accepted, Reconciling, Stalled, Succeeded and Ready, always all of them: `kubectl wait` and kstatus treat a
        missing condition as not yet observed.
    """
    accepted: dict[ConditionType, ConditionStatus] = {"Accepted": phase.accepted}
    derived = {type_: by_state.get(phase.state, DEFAULT_STATUS[type_]) for type_, by_state in STATUS_BY_STATE.items()}
    conditions = []
    for type_, status in (accepted | derived).items():
        before = previous.condition(type_)
        unchanged = before is not None and before.status == status
        reason, message = _reason_and_message(type_, status, phase)
        conditions.append(
            Condition(
                type=type_,
                status=status,
                reason=reason,
                message=message,
                observed_generation=generation,
                last_transition_time=before.last_transition_time if before is not None and unchanged else now,
            )
        )
    return tuple(conditions)


def invalid_spec_status(generation: int, previous: RunStatus, problems: Sequence[Problem], now: datetime) -> RunStatus:
    """Builds the status of a run whose spec this version of the operator cannot parse.

    The API server admits such a spec if the CustomResourceDefinition in the cluster belongs to another version.

    Args:
        generation: metadata.generation of the run.
        previous: the status before; what it records of finished steps stays.
        problems: what is wrong, with the path of each field.
        now: the current time.
    """
    message = "\n".join(problem.line for problem in problems)
    phase = RunPhase("refused", "InvalidSpec", message, accepted="False")
    return previous.model_copy(
        update={
            "observed_generation": generation,
            "phase": "Failed",
            "conditions": build(generation, previous, phase, now),
            "problems": truncation.problems(tuple(problems)),
        }
    )


def _reason_and_message(type_: ConditionType, status: ConditionStatus, phase: RunPhase) -> tuple[str, str]:
    # An accepted run keeps one stable reason: what happens to it afterwards is explained by the other conditions.
    if type_ == "Accepted" and status == "True":
        return "PreflightPassed", ""
    # Ready explains a run that is neither at work nor failed: suspended, or deleted and kept by somebody.
    explains = EXPLAINING.get(type_) == status or (type_ == "Ready" and phase.state == "suspended")
    limit = truncation.CONDITION_BYTES if explains else truncation.HINT_BYTES
    return phase.reason, truncation.text(phase.message, limit)
