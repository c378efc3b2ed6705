"""What a run's status remembers, so that a step is done once even when the Job that did it is gone. Pure."""

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus, StepStatus
from selfalign_stages.contract.manifest import Counts
from selfalign_stages.contract.task import PreflightResult, Result


def preflight_result(run: SelfAlignRun, key: str) -> PreflightResult | None:
    """Preflight's answer for a key, if the status holds one; a refusal holds for its own generation alone."""
    status, asked = run.status, run.status.preflight
    if asked is None or asked.key != key:
        return None
    if status.problems:
        same = status.observed_generation == run.metadata.generation
        return PreflightResult(leaves=asked.leaves, problems=status.problems) if same else None
    return PreflightResult(leaves=asked.leaves, warnings=status.warnings) if asked.leaves else None


def step_results(status: RunStatus) -> dict[str, Result]:
    """Results of the steps that succeeded, by step id."""
    done = (step for step in status.steps.values() if step.state == "Succeeded")
    return {step.name: found for step in done if (found := _result(status, step)) is not None}


def _result(status: RunStatus, step: StepStatus) -> Result | None:
    if step.key is None or step.digest is None or step.cache is None:
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
    """Those that the plan and the status need again."""
    if step.kind == "gate" and status.evaluation is not None:
        told = status.evaluation
        return {"passed": told.passed, "failedGates": told.failed_gates, **told.metrics}
    if step.kind in ("image", "push") and status.image is not None:
        image = status.image
        return {"image": image.reference, "digest": image.digest, "size": image.size or 0}
    return {}
