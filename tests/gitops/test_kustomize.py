"""Kustomize renames what a run refers to, and with examples/gitops/kustomize-names.yaml the run follows."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.binaries import binaries
from tests.cluster.namespace import OWN_SUITES
from tests.tools import run_tool

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.manifest.loading import load
from selfalign_operator.schemas import kustomize_names

FILE = Path(__file__).parents[2] / "examples" / "gitops" / "kustomize-names.yaml"

CONTAINER = {
    "name": "stage",
    "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}}],
    "envFrom": [{"configMapRef": {"name": "pack"}}],
}
TEMPLATE = {
    "spec": {
        "serviceAccountName": "team",
        "imagePullSecrets": [{"name": "keys"}],
        "initContainers": [CONTAINER],
        "containers": [CONTAINER],
        "volumes": [
            {"name": "a", "secret": {"secretName": "keys"}},
            {"name": "b", "projected": {"sources": [{"secret": {"name": "keys"}}, {"configMap": {"name": "pack"}}]}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "models"}},
        ],
    }
}
ROWS = {"uri": "s3://rows/a.jsonl", "share": 0.5, "secretRef": {"name": "keys"}}
RUN: dict[str, Any] = {
    "apiVersion": "selfalign.dev/v1alpha1",
    "kind": "SelfAlignRun",
    "metadata": {"name": "juniper"},
    "spec": {
        "queueName": "gpus",
        "baseModel": {"uri": "s3://models/a", "secretRef": {"name": "keys"}},
        "principles": {"configMapRef": {"name": "pack"}},
        "artifacts": {"uri": "s3://runs/a", "secretRef": {"name": "keys"}},
        "image": {"repository": "registry.example.com/juniper", "pushSecretRef": {"name": "keys"}},
        "podDefaults": {"serviceAccountName": "team", "template": TEMPLATE},
        "stages": {
            **OWN_SUITES,
            "redTeaming": {"promptSources": [ROWS], "template": TEMPLATE},
            "engraving": {"extraRows": [ROWS], "template": TEMPLATE},
        },
    },
}
OTHERS = [
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "team"}},
    {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}},
    {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "LocalQueue", "metadata": {"name": "gpus"}},
]
KUSTOMIZATION = {
    "apiVersion": "kustomize.config.k8s.io/v1beta1",
    "kind": "Kustomization",
    "configurations": [FILE.name],
    "namePrefix": "team-a-",
    "resources": ["objects.yaml"],
    "secretGenerator": [{"name": "keys", "literals": ["AWS_ACCESS_KEY_ID=a"]}],
    "configMapGenerator": [{"name": "pack", "literals": ["pack.yaml=a"]}],
}


def test_the_example_is_generated_from_the_models() -> None:
    command = "python -m selfalign_operator.schemas.kustomize_names > examples/gitops/kustomize-names.yaml"
    assert FILE.read_text() == kustomize_names.text(), f"run: {command}"


@pytest.mark.slow
def test_names_in_a_run_follow_prefixes_and_hashes(tmp_path: Path) -> None:
    assert isinstance(load(json.dumps(RUN)), SelfAlignRun)
    shutil.copy(FILE, tmp_path)
    (tmp_path / "objects.yaml").write_text("\n---\n".join(map(json.dumps, [RUN, *OTHERS])))
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(KUSTOMIZATION))
    documents = list(yaml.safe_load_all(run_tool(binaries() / "kubectl", "kustomize", str(tmp_path))))
    (run,) = (one for one in documents if one["kind"] == "SelfAlignRun")
    renamed = {one["kind"]: one["metadata"]["name"] for one in documents}
    assert renamed["Secret"].startswith("team-a-keys-")
    assert _texts(run["spec"]) & {"keys", "pack", "team", "models", "gpus"} == set()
    assert set(renamed.values()) - {run["metadata"]["name"]} <= _texts(run["spec"])


def _texts(value: Any) -> set[str]:
    """Every text in a document, keys aside."""
    if isinstance(value, dict):
        return set().union(*map(_texts, value.values()))
    if isinstance(value, list):
        return set().union(*map(_texts, value))
    return {value} if isinstance(value, str) else set()
