"""Where a manifest is carried out matters: what a cluster refuses, and what one machine refuses or ignores. Pure.

One manifest serves a laptop and a cluster, so these rules cannot be part of the schema. Each environment checks its own
before it starts anything.
"""

from collections.abc import Iterator

from pydantic import BaseModel

from selfalign_operator.api.resources import gpus
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


def problems_on_a_cluster(run: SelfAlignRun, *, pack_exists: bool) -> Iterator[Problem]:
    """Fields that a cluster cannot carry out.

    Args:
        run: the run.
        pack_exists: whether the ConfigMap that spec.principles.configMapRef names exists.
    """
    store, named = run.spec.artifacts, run.spec.principles.config_map_ref
    if store is None:
        yield Problem(field="spec.artifacts", message="is missing: pods share artifacts through S3, give its uri")
    elif not store.uri.startswith("s3://"):
        text = "pods on several nodes cannot share a folder: use s3://BUCKET/PREFIX"
        yield Problem(field="spec.artifacts.uri", value=store.uri, message=text)
    if run.spec.base_model.uri.startswith("file://"):
        text = "a file:// model lies on one machine: use s3://, hf://, builtin:// or pvc://CLAIM/FOLDER"
        yield Problem(field="spec.baseModel.uri", value=run.spec.base_model.uri, message=text)
    if run.spec.principles.uri is not None:
        text = "a file:// pack lies on one machine: put its files into a ConfigMap and name it in configMapRef"
        yield Problem(field="spec.principles.uri", value=run.spec.principles.uri, message=text)
    if named is not None and not pack_exists:
        text = f"there is no ConfigMap {named.name} in namespace {run.metadata.namespace}: create it"
        yield Problem(field="spec.principles.configMapRef.name", value=named.name, message=text)
    trainings = {"engraving": run.spec.stages.engraving, "cloning.training": run.spec.stages.cloning.training}
    for stage, training in trainings.items():
        devices = gpus(training.resources.limits) if training.resources else 0
        asked = {"nodes": training.nodes, "gpusPerNode": training.gpus_per_node, "GPUs in resources": devices}
        if max(asked.values()) > 1:
            listed = ", ".join(f"{name} {number}" for name, number in asked.items())
            text = f"training is one process on one GPU in this release, not {listed}: write 1, or leave them out"
            yield Problem(field=f"spec.stages.{stage}", value=asked, message=text)
    if run.spec.image.repository is None:
        text = "is missing: a cluster pulls the image from a registry, give REGISTRY/PATH"
        yield Problem(field="spec.image.repository", message=text)


def problems_on_one_machine(run: SelfAlignRun) -> list[Problem]:
    """What has to be changed before this machine can do the run."""
    found = []
    if run.spec.base_model.uri.startswith("pvc://"):
        text = "a volume claim needs a cluster: on one machine write file://FOLDER"
        found.append(Problem(field="spec.baseModel.uri", value=run.spec.base_model.uri, message=text))
    if (reference := run.spec.principles.config_map_ref) is not None:
        text = "a ConfigMap needs a cluster: on one machine write builtin: NAME or uri: file://FOLDER"
        found.append(Problem(field="spec.principles.configMapRef", value=reference.name, message=text))
    return found


def ignored_on_one_machine(run: SelfAlignRun) -> list[str]:
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
