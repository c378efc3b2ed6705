"""Names the fields of a run that place the pods of a Job, for messages that ask to change them. Pure."""

from collections.abc import Mapping
from typing import Any

from selfalign_operator.jobs.identity import STEP
from selfalign_operator.planning.observation import PREFLIGHT

STAGE = "app.kubernetes.io/component"
"""Label with the stage of a Job."""
POD_DEFAULTS = "spec.podDefaults.template"


def template_field(job: Mapping[str, Any]) -> str:
    """Returns the path of the most specific pod template that applies to a Job.

    Args:
        job: one of the operator's Jobs.

    Returns:
        For preflight and the import, which belong to no stage of the spec, that of spec.podDefaults.
    """
    stage = _stage_field(job)
    return f"{stage}.template" if stage else POD_DEFAULTS


def resource_field(job: Mapping[str, Any], resource: str) -> str:
    """Returns the path of a quantity of the stage's container, and where else it may be set.

    Args:
        job: one of the operator's Jobs.
        resource: part and name, such as limits.memory.
    """
    in_template = f"resources.{resource} of container stage in {POD_DEFAULTS}"
    if not (stage := _stage_field(job)):
        return in_template
    return f"{stage}.resources.{resource} (where {stage}.template or {POD_DEFAULTS} sets it, there)"


def resource_fields(job: Mapping[str, Any]) -> str:
    """Returns the path of all quantities of the stage's container, and where else they may be set.

    Args:
        job: one of the operator's Jobs.
    """
    in_template = f"resources of container stage in {POD_DEFAULTS}"
    stage = _stage_field(job)
    return f"{stage}.resources (where {stage}.template or {POD_DEFAULTS} sets them, there)" if stage else in_template


def _stage_field(job: Mapping[str, Any]) -> str:
    labels = job["metadata"]["labels"]
    stage, step = labels[STAGE], labels[STEP]
    if stage in (PREFLIGHT, "import"):
        return ""
    if stage == "cloning":
        return f"spec.stages.cloning.{'generation' if step == 'cloning-answers' else 'training'}"
    return f"spec.stages.{stage}"
