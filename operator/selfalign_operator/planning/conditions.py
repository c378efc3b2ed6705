"""The conditions of a run, as kstatus and people read them. Pure."""

from collections.abc import Sequence
from datetime import datetime

from selfalign_operator.api.status import Condition, ConditionType, RunStatus
from selfalign_operator.planning import truncation
from selfalign_operator.planning.run_phase import RunPhase, Truth
from selfalign_stages.contract.task import Problem

# type: truth by outcome; whether the run was accepted does not follow from where it stands now
CONDITIONS: dict[ConditionType, dict[str, Truth]] = {
    "Reconciling": {"preparing": "True", "working": "True"},
    "Stalled": {"refused": "True", "failed": "True"},
    "Succeeded": {"ready": "True", "refused": "False", "failed": "False"},
    "Ready": {"ready": "True"},
}
OTHERWISE: dict[ConditionType, Truth] = {
    "Reconciling": "False",
    "Stalled": "False",
    "Succeeded": "Unknown",
    "Ready": "False",
}
EXPLAINS: dict[ConditionType, Truth] = {"Accepted": "False", "Reconciling": "True", "Stalled": "True"}
"""Where the whole message stands; elsewhere its beginning is enough."""


def build(generation: int, told: RunStatus, outcome: RunPhase, now: datetime) -> tuple[Condition, ...]:
    """All conditions of an outcome; `told` is the status before, whose transition times stay where nothing changed."""
    found = []
    truths = {type_: of.get(outcome.state, OTHERWISE[type_]) for type_, of in CONDITIONS.items()}
    accepted: dict[ConditionType, Truth] = {"Accepted": outcome.accepted}
    for type_, truth in (accepted | truths).items():
        before = told.condition(type_)
        kept = before.last_transition_time if before is not None and before.status == truth else now
        limit = truncation.CONDITION_BYTES if EXPLAINS.get(type_) == truth else truncation.HINT_BYTES
        reason, message = outcome.reason, truncation.text(outcome.message, limit)
        if type_ == "Accepted" and truth == "True":
            reason, message = "PreflightPassed", ""
        found.append(
            Condition(
                type=type_,
                status=truth,
                reason=reason,
                message=message,
                observed_generation=generation,
                last_transition_time=kept,
            )
        )
    return tuple(found)


def unreadable(generation: int, before: RunStatus, problems: Sequence[Problem], now: datetime) -> RunStatus:
    """The status of a run whose spec an older API server let through, or a newer one."""
    outcome = RunPhase("refused", "InvalidSpec", "\n".join(problem.line for problem in problems), accepted="False")
    return before.model_copy(
        update={
            "observed_generation": generation,
            "phase": "Failed",
            "conditions": build(generation, before, outcome, now),
            "problems": truncation.problems(tuple(problems)),
        }
    )
