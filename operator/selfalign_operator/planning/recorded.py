"""Reads back from a run's status what was already done. Pure.

Jobs are removed: by spec.ttlSecondsAfterFinished, by a person, or by a repeated preflight. Results that existed in
Jobs alone would be lost with them, and every step would run a second time. The status is therefore read as a record
beside the observed attempts.
"""

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus, StepStatus
from selfalign_operator.planning import graph
from selfalign_stages.contract.counts import Counts
from selfalign_stages.contract.task import PreflightResult, Result


def preflight_result(run: SelfAlignRun, key: str, *, retried: bool) -> PreflightResult | None:
    """Returns the preflight result that the status records for a preflight key.

    Args:
        run: the run, with its status.
        key: the current preflight key (run_state.preflight_key).
        retried: whether a retry was asked for since the status was written, which voids a refusal as an edit does.

    Returns:
        Leaf digests with warnings, or problems. None if the status records another key, or a refusal of an earlier
        generation: an edit repeats preflight, because what was missing may exist by then.
    """
    status, preflight = run.status, run.status.preflight
    if preflight is None or preflight.key != key:
        return None
    if status.problems:
        same_generation = status.observed_generation == run.metadata.generation and not retried
        return PreflightResult(leaves=preflight.leaves, problems=status.problems) if same_generation else None
    # A status that somebody restored or edited may lack some: keys could not be computed from it.
    complete = {leaf for step in graph.steps(run) for leaf in step.leaves} <= preflight.leaves.keys()
    return PreflightResult(leaves=preflight.leaves, warnings=status.warnings) if complete else None


def step_result(status: RunStatus, step: StepStatus) -> Result | None:
    """Returns the recorded result of a step, for whatever key the status records; None unless it succeeded.

    Args:
        status: the status, which has the metrics of some steps.
        step: one of its steps.
    """
    if step.state != "Succeeded" or step.key is None or step.digest is None or step.cache is None:
        return None
    counts = Counts(rows=step.rows or 0, kept=step.kept or 0, rejected=step.rejected)
    return Result(
        key=step.key,
        cache=step.cache,
        digest=step.digest,
        counts=counts,
        metrics=_metrics(status, step),
        seconds=step.seconds or 0,
    )


def _metrics(status: RunStatus, step: StepStatus) -> dict[str, float | int | str | bool]:
    """Restores the metrics that the status keeps; all others stay in the store."""
    if step.kind == "train":
        losses = {"lastLoss": step.loss, "lastValidationLoss": step.validation_loss}
        return {name: value for name, value in losses.items() if value is not None}
    if step.kind == "gate" and status.evaluation is not None:
        evaluation = status.evaluation
        return {"passed": evaluation.passed, "failedGates": evaluation.failed_gates, **evaluation.metrics}
    if step.kind in ("image", "push") and status.image is not None:
        image = status.image
        return {"image": image.reference, "digest": image.digest, "size": image.size or 0}
    return {}
