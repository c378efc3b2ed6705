"""What one machine cannot do: problems that stop `selfalign run`, notes on fields that only a cluster uses. Pure."""

from collections.abc import Iterator

from pydantic import BaseModel

from selfalign_operator.api.run import SelfAlignRun
from selfalign_stages.contract.task import Problem

CREDENTIALS = "credentials come from the environment here"
CLUSTER_ONLY: dict[str, str] = {
    "spec.image.pushSecretRef": "credentials are those of docker login here",
    "spec.baseModel.secretRef": CREDENTIALS,
    "spec.artifacts.secretRef": CREDENTIALS,
    "spec.podDefaults": "there are no pods",
    "spec.queueName": "there is no queue",
    "spec.ttlSecondsAfterFinished": "there are no Jobs",
    "spec.onSpecChange": "a run here has one spec from start to end",
    "spec.budget.gpuHours": "GPU time is not metered here; spec.budget.deadline is heeded",
} | {
    f"spec.stages.{stage}.{field}": reason
    for stage in (
        "redTeaming",
        "selfAlign",
        "engraving",
        "cloning.generation",
        "cloning.training",
        "evaluation",
        "packaging",
    )
    for field, reason in {
        "workers": "each step is one process here",
        "resources": "there are no pods",
        "template": "there are no pods",
        "nodes": "this machine is the only node; globalBatchSize is kept",
        "gpusPerNode": "a step is one process here; globalBatchSize is kept",
    }.items()
}


def problems(run: SelfAlignRun) -> list[Problem]:
    """What has to be changed before this machine can do the run."""
    found = []
    if run.spec.base_model.uri.startswith("pvc://"):
        text = "a volume claim needs a cluster: on one machine write file://FOLDER"
        found.append(Problem(field="spec.baseModel.uri", value=run.spec.base_model.uri, message=text))
    if (reference := run.spec.principles.config_map_ref) is not None:
        text = "a ConfigMap needs a cluster: on one machine write builtin: NAME or uri: file://FOLDER"
        found.append(Problem(field="spec.principles.configMapRef", value=reference.name, message=text))
    return found


def notes(run: SelfAlignRun) -> list[str]:
    """One line for each field that was given and means nothing here."""
    given = set(_given(run.spec, "spec"))
    return [f"{path} does not apply: {why}" for path, why in CLUSTER_ONLY.items() if path in given]


def _given(model: BaseModel, path: str) -> Iterator[str]:
    """Paths of the fields that differ from their defaults."""
    for name, field in type(model).model_fields.items():
        value, where = getattr(model, name), f"{path}.{field.alias or name}"
        if name in model.model_fields_set and value != field.get_default():
            yield where
            if isinstance(value, BaseModel):
                yield from _given(value, where)
