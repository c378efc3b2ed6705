"""Rules of the place where a run is carried out: what a cluster rejects, what one machine rejects or ignores. Pure.

One manifest serves a laptop and a cluster, so these rules cannot be part of the schema. Each environment checks its own
before it starts anything.
"""

from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from selfalign_operator.api.devices import GPU_RESOURCES, gpus
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.training import ExtraRows
from selfalign_stages.contract.task import Problem

CREDENTIALS = "credentials come from the environment of the command"
PROMPT_SOURCES = "spec.stages.redTeaming.promptSources"
STAGES = (
    "redTeaming",
    "selfAlign",
    "engraving",
    "cloning.generation",
    "cloning.training",
    "evaluation",
    "packaging",
)
"""Paths below spec.stages of everything that has pods of its own on a cluster."""
CLUSTER_ONLY_OF_STAGES = {
    "workers": "each step is one process on one machine",
    "resources": "there are no pods on one machine",
    "template": "there are no pods on one machine",
    "nodes": "there is one machine; globalBatchSize is kept by accumulating gradients",
    "gpusPerNode": "a step is one process; globalBatchSize is kept by accumulating gradients",
}
CLUSTER_ONLY: dict[str, str] = {
    "spec.image.pushSecretRef": "credentials are those of docker login",
    "spec.baseModel.secretRef": CREDENTIALS,
    "spec.artifacts.secretRef": CREDENTIALS,
    "spec.podDefaults": "there are no pods on one machine",
    "spec.queueName": "there is no Kueue on one machine",
    "spec.ttlSecondsAfterFinished": "there are no Jobs on one machine",
    "spec.onSpecChange": "the spec cannot change while `selfalign run` is running",
    "spec.budget.gpuHours": "GPU time is not metered on one machine; spec.budget.deadline applies",
} | {f"spec.stages.{stage}.{field}": reason for stage in STAGES for field, reason in CLUSTER_ONLY_OF_STAGES.items()}
"""Fields without effect on one machine, and why. Noted, not rejected: artifacts are the same without them."""


def problems_on_a_cluster(
    run: SelfAlignRun, *, pack_exists: bool, gpu_resources: Sequence[str] = GPU_RESOURCES
) -> Iterator[Problem]:
    """Yields the fields that a cluster cannot carry out.

    Args:
        run: the run.
        pack_exists: whether the ConfigMap that spec.principles.configMapRef names exists. Only the operator can know.
        gpu_resources: resource names of GPUs (api.devices).
    """
    store, pack = run.spec.artifacts, run.spec.principles.config_map_ref
    if store is None:
        message = "is missing: pods share artifacts through S3, set uri to s3://BUCKET/PREFIX"
        yield Problem(field="spec.artifacts", message=message)
    elif not store.uri.startswith("s3://"):
        message = "pods on several nodes cannot share a folder: use s3://BUCKET/PREFIX"
        yield Problem(field="spec.artifacts.uri", value=store.uri, message=message)
    if run.spec.base_model.uri.startswith("file://"):
        message = "a file:// model is on one machine only: use s3://, hf://, builtin:// or pvc://CLAIM/FOLDER"
        yield Problem(field="spec.baseModel.uri", value=run.spec.base_model.uri, message=message)
    for index, source in enumerate(run.spec.stages.red_teaming.prompt_sources):
        if source.uri.startswith("file://"):
            message = "a file:// address is on one machine only: use s3:// or hf://"
            yield Problem(field=f"{PROMPT_SOURCES}[{index}].uri", value=source.uri, message=message)
    for path, file in _extra_rows(run):
        if file.uri.startswith("file://"):
            message = "a file:// address is on one machine only: use s3:// or hf://"
            yield Problem(field=f"{path}.uri", value=file.uri, message=message)
    if run.spec.principles.uri is not None:
        message = "a file:// pack is on one machine only: put its files into a ConfigMap and name it in configMapRef"
        yield Problem(field="spec.principles.uri", value=run.spec.principles.uri, message=message)
    if pack is not None and not pack_exists:
        message = f"there is no ConfigMap {pack.name} in namespace {run.metadata.namespace}: create it"
        yield Problem(field="spec.principles.configMapRef.name", value=pack.name, message=message)
    yield from _distributed_training(run, gpu_resources)
    if run.spec.image.repository is None:
        message = "is missing: nodes pull the image from a registry, set it to REGISTRY/PATH"
        yield Problem(field="spec.image.repository", message=message)


def _extra_rows(run: SelfAlignRun) -> Iterator[tuple[str, ExtraRows]]:
    """Yields the files with training rows of one's own, each with the path of its field."""
    stages = run.spec.stages
    for stage, training in {"engraving": stages.engraving, "cloning.training": stages.cloning.training}.items():
        if stage == "engraving" or stages.cloning.enabled:
            for index, file in enumerate(training.extra_rows):
                yield f"spec.stages.{stage}.extraRows[{index}]", file


def _distributed_training(run: SelfAlignRun, gpu_resources: Sequence[str]) -> Iterator[Problem]:
    """Trainings on more than one GPU. The fields exist for the paper's recipe; nothing implements them yet."""
    stages = run.spec.stages
    for stage, training in {"engraving": stages.engraving, "cloning.training": stages.cloning.training}.items():
        # limits, not requests: Kubernetes requires both to be equal for devices
        devices = gpus(training.resources.limits, gpu_resources) if training.resources else 0
        requested = {"nodes": training.nodes, "gpusPerNode": training.gpus_per_node, "GPUs in resources": devices}
        if max(requested.values()) > 1:
            listed = ", ".join(f"{name} {number}" for name, number in requested.items())
            message = f"training is one process on one GPU in this release, not {listed}: set each to 1, or remove them"
            yield Problem(field=f"spec.stages.{stage}", value=requested, message=message)


def problems_on_one_machine(run: SelfAlignRun) -> list[Problem]:
    """Returns the fields that must change before this machine can carry out the run."""
    problems = []
    if run.spec.base_model.uri.startswith("pvc://"):
        message = "a PersistentVolumeClaim needs a cluster: on one machine use file://FOLDER"
        problems.append(Problem(field="spec.baseModel.uri", value=run.spec.base_model.uri, message=message))
    if (pack := run.spec.principles.config_map_ref) is not None:
        message = "a ConfigMap needs a cluster: on one machine use builtin: NAME or uri: file://FOLDER"
        problems.append(Problem(field="spec.principles.configMapRef", value=pack.name, message=message))
    return problems


def ignored_on_one_machine(run: SelfAlignRun) -> list[str]:
    """Returns one line, with the reason, for each field that is set and has no effect on one machine."""
    explicit = set(_explicit_fields(run.spec, "spec"))
    ignored = {path: reason for path, reason in CLUSTER_ONLY.items() if path in explicit}
    for index, source in enumerate(run.spec.stages.red_teaming.prompt_sources):
        if source.secret_ref is not None:
            ignored[f"{PROMPT_SOURCES}[{index}].secretRef"] = CREDENTIALS
    ignored |= {f"{path}.secretRef": CREDENTIALS for path, file in _extra_rows(run) if file.secret_ref is not None}
    return [f"{path} does not apply: {reason}" for path, reason in ignored.items()]


def _explicit_fields(model: BaseModel, path: str) -> Iterator[str]:
    """Paths of the fields that the manifest sets to something else than the default, at any depth."""
    for name, field in type(model).model_fields.items():
        value, field_path = getattr(model, name), f"{path}.{field.alias or name}"
        # a default that is written out changes nothing, so it deserves no note
        if name in model.model_fields_set and value != field.get_default():
            yield field_path
            if isinstance(value, BaseModel):
                yield from _explicit_fields(value, field_path)
