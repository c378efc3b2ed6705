"""The API server itself refuses bad manifests, by schema and CEL, and names the field; the operator may be down."""

from typing import Any

import pytest
import yaml
from tests.cluster.conftest import ROOT
from tests.cluster.namespace import Namespace

pytestmark = pytest.mark.slow

HF = {"uri": "hf://org/model", "revision": "a" * 40}
SUITE = {"name": "mine", "format": "hhh", "uri": "pack://hhh"}


def stage(name: str, **values: Any) -> dict[str, Any]:
    """A spec with settings of one stage."""
    return {"stages": {name: values}}


def training(**values: Any) -> dict[str, Any]:
    return stage("engraving", **values)


BAD: list[tuple[str, dict[str, Any]]] = [
    ("spec.baseModel.uri", {"baseModel": {}}),
    ("spec.baseModel.uri", {"baseModel": {"uri": "org/model"}}),
    ("spec.baseModel.uri", {"baseModel": {"uri": "ftp://host/model"}}),
    ("spec.baseModel", {"baseModel": {"uri": "hf://org/model"}}),
    ("spec.baseModel", {"baseModel": {"uri": "hf://org/model", "revision": "main"}}),
    ("spec.baseModel", {"baseModel": {"uri": "s3://bucket/model", "revision": "a" * 40}}),
    ("spec.baseModel.secretRef.name", {"baseModel": HF | {"secretRef": {"name": ""}}}),
    ("spec.principles", {"principles": {}}),
    ("spec.principles", {"principles": {"builtin": "hamlet", "configMapRef": {"name": "mine"}}}),
    ("spec.principles.uri", {"principles": {"uri": "s3://bucket/pack"}}),
    ("spec.assistantName", {"assistantName": ""}),
    ("spec.assistantName", {"assistantName": "x" * 41}),
    ("spec.seed", {"seed": -1}),
    ("spec.seed", {"seed": 1.5}),
    ("spec.seed", {"seed": "many"}),
    ("spec.artifacts.uri", {"artifacts": {"uri": "gs://bucket"}}),
    ("spec.artifacts.endpoint", {"artifacts": {"uri": "s3://b/p", "endpoint": "minio:9000"}}),
    ("spec.artifacts.addressingStyle", {"artifacts": {"uri": "s3://b/p", "addressingStyle": "dns"}}),
    ("spec.artifacts.sse", {"artifacts": {"uri": "s3://b/p", "sse": "on"}}),
    ("spec.artifacts", {"artifacts": {"uri": "s3://b/p", "sseKmsKeyId": "key"}}),
    ("spec.stages.redTeaming.prompts", stage("redTeaming", prompts=0)),
    ("spec.stages.redTeaming", stage("redTeaming", promptSources=[{"uri": "s3://rows/a.jsonl", "share": 0.6}] * 2)),
    (
        "spec.stages.redTeaming.promptSources[0]",
        stage("redTeaming", promptSources=[{"uri": "hf://datasets/org/name/a.jsonl", "share": 1}]),
    ),
    ("spec.stages.engraving", stage("engraving", extraRows=[{"uri": "s3://rows/a.jsonl", "share": 0.5}] * 2)),
    ("spec.stages.engraving.validationShare", stage("engraving", validationShare=0.6)),
    ("spec.stages", {"stages": {"engraving": {"thoughts": True}, "selfAlign": {"thought": "none"}}}),
    ("spec.stages.cloning.training", stage("cloning", training={"thoughts": True})),
    ("spec.stages.redTeaming.rounds", stage("redTeaming", rounds=101)),
    ("spec.stages.redTeaming.dedupRougeL", stage("redTeaming", dedupRougeL=1.3)),
    ("spec.stages.redTeaming.topicGuidedShare", stage("redTeaming", topicGuidedShare=1)),
    ("spec.stages.redTeaming.workers", stage("redTeaming", workers=0)),
    ("spec.stages.redTeaming.workers", stage("redTeaming", workers="many")),
    ("spec.stages.redTeaming.sampling.topics.topP", stage("redTeaming", sampling={"topics": {"topP": 0}})),
    ("spec.stages.selfAlign.temperature", stage("selfAlign", temperature=3)),
    ("spec.stages.selfAlign.chunkSize", stage("selfAlign", chunkSize=0)),
    ("spec.stages.selfAlign.maxRejectRatio", stage("selfAlign", maxRejectRatio=2)),
    ("spec.stages.engraving.rank", training(rank=0)),
    ("spec.stages.engraving.method", training(method="qlora")),
    ("spec.stages.engraving.preset", training(preset="fast")),
    ("spec.stages.engraving.learningRate", training(learningRate=0)),
    ("spec.stages.engraving.epochs", training(epochs=-1)),
    ("spec.stages.engraving.dropout", training(dropout=1)),
    ("spec.stages.engraving.targets", training(targets=[])),
    ("spec.stages.engraving", training(method="full", rank=8)),
    ("spec.stages.engraving", training(globalBatchSize=100, microBatchSize=8)),
    ("spec.stages.engraving.merge.dtype", training(merge={"dtype": "int8"})),
    ("spec.stages.engraving.resources.limits", training(resources={"limits": {"memory": "lots"}})),
    ("spec.stages.evaluation.suites", stage("evaluation", suites=[])),
    ("spec.stages.evaluation.suites", stage("evaluation", suites=[SUITE, SUITE])),
    ("spec.stages.evaluation.suites[0].format", stage("evaluation", suites=[SUITE | {"format": "mmlu"}])),
    ("spec.stages.evaluation.confidence", stage("evaluation", confidence=1)),
    ("spec.image.repository", {"image": {"repository": "Registry/Name"}}),
    ("spec.image.tag", {"image": {"tag": "not a tag"}}),
    ("spec.image", {"image": {"formats": ["server"]}}),
    ("spec.image", {"image": {"tag": "stable", "promoteTo": "stable"}}),
    ("spec", {"image": {"variant": "cloned"}, "stages": {"cloning": {"enabled": False}}}),
    ("spec.retries.perStage", {"retries": {"perStage": -1}}),
    ("spec.budget.gpuHours", {"budget": {"gpuHours": 0}}),
    ("spec.budget.deadline", {"budget": {"deadline": "soon"}}),
    ("spec.onSpecChange", {"onSpecChange": "Ignore"}),
    ("spec.queueName", {"queueName": ""}),
    ("spec.queueName", {"queueName": "a/b"}),
    ("spec.podDefaults.serviceAccountName", {"podDefaults": {"serviceAccountName": "../other"}}),
    ("spec.ttlSecondsAfterFinished", {"ttlSecondsAfterFinished": 2**31}),
    ("spec.budget.deadline", {"budget": {"deadline": "99999999h"}}),
    ('unknown field "spec.prompts"', {"prompts": 5}),
    ('unknown field "spec.stages.selfalign"', stage("selfalign", workers=2)),
]


@pytest.mark.parametrize(("field", "spec"), BAD, ids=[f"{n}-{field}" for n, (field, _) in enumerate(BAD)])
def test_a_bad_manifest_is_refused_with_its_field(
    schema_namespace: Namespace, field: str, spec: dict[str, Any]
) -> None:
    body = yaml.safe_dump(schema_namespace.manifest("bad", **spec))
    told = schema_namespace.cluster.kubectl(
        "create", "--dry-run=server", "--validate=strict", "-f", "-", text=body, check=False
    )
    assert "created" not in told
    assert field in told


def test_prompts_of_ones_own_are_accepted_up_to_a_share_of_one(schema_namespace: Namespace) -> None:
    hub = {"uri": "hf://datasets/org/name/a.jsonl", "revision": "a" * 40}
    for sources in ([hub | {"share": 1}], [hub | {"share": share} for share in (0.56, 0.33, 0.11)]):
        body = yaml.safe_dump(schema_namespace.manifest("own", **stage("redTeaming", promptSources=sources)))
        told = schema_namespace.cluster.kubectl(
            "create", "--dry-run=server", "--validate=strict", "-f", "-", text=body, check=False
        )
        assert "created" in told, told


def test_the_examples_are_accepted(schema_namespace: Namespace) -> None:
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        told = schema_namespace.cluster.kubectl("create", "--dry-run=server", "--validate=strict", "-f", str(path))
        assert "created" in told, path


def test_a_name_that_is_too_long_for_its_jobs_is_refused(schema_namespace: Namespace) -> None:
    body = yaml.safe_dump(schema_namespace.manifest("x" * 60))
    told = schema_namespace.cluster.kubectl("create", "--dry-run=server", "-f", "-", text=body, check=False)
    assert "metadata.name" in told


def test_reject_lets_nobody_edit_what_a_run_is_made_from(namespace: Namespace) -> None:
    namespace.apply(onSpecChange="Reject")
    namespace.apply(onSpecChange="Reject", suspend=True, retries={"perStage": 5})
    body = yaml.safe_dump(namespace.manifest(onSpecChange="Reject", seed=7))
    told = namespace.cluster.kubectl("apply", "-f", "-", text=body, check=False)
    assert "onSpecChange is Reject" in told
