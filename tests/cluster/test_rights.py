"""The operator uses every right that the chart grants, and needs no other: measured in the API server's audit log."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster import audit
from tests.cluster.chart import rendered
from tests.cluster.control_plane import Cluster, wait_for
from tests.cluster.namespace import OWN_SUITES, Namespace
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.pretend_node import pretend_node, publish

IN_ADMISSION = audit.Right("selfalign.dev", "selfalignruns/finalizers", "update")
"""Checked by the admission plugin OwnerReferencesPermissionEnforcement, where it is enabled, and never requested."""
QUOTA = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}


@pytest.fixture
def documents(namespace: Namespace) -> list[dict[str, Any]]:
    """The chart's objects for one namespace."""
    return rendered("--set", "scope=namespaced", namespace=namespace.name)


@pytest.fixture
def operator(namespace: Namespace, documents: list[dict[str, Any]], tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator that signs in as the chart's service account."""
    for document in documents:
        if document["kind"] in ("ServiceAccount", "Role", "RoleBinding"):
            document["metadata"].setdefault("namespace", namespace.name)
            namespace.cluster.kubectl("apply", "-f", "-", text=yaml.safe_dump(document))
    process = OperatorProcess(namespace.cluster, namespace.name)
    process.environment["KUBECONFIG"] = str(_kubeconfig(namespace.cluster, namespace.name, tmp_path))
    process.environment["SELFALIGN_NAME"] = "trial"
    process.start()
    yield process
    process.stop()


def _kubeconfig(cluster: Cluster, namespace: str, folder: Path) -> Path:
    token = cluster.kubectl("-n", namespace, "create", "token", "trial").strip()
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"] = [{"name": "admin", "user": {"token": token}}]
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


def test_the_rights_of_the_chart_are_those_that_the_operator_uses(
    namespace: Namespace, operator: OperatorProcess, documents: list[dict[str, Any]]
) -> None:
    kubectl = namespace.cluster.kubectl
    kubectl("-n", namespace.name, "apply", "-f", "-", text=json.dumps(QUOTA))
    wait_for("the quota counts", lambda: "hard" in namespace.get("resourcequota", "none").get("status", {}))
    pack = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pack"}, "data": {"principles.yaml": "[]"}}
    kubectl("-n", namespace.name, "apply", "-f", "-", text=json.dumps(pack))
    with pretend_node(namespace.cluster, publish):
        # Events: why no pod of a Job was created
        namespace.apply("kept", principles={"configMapRef": {"name": "pack"}}, stages=OWN_SUITES)
        wait_for(
            "it waits for quota", lambda: namespace.condition("Reconciling", "kept").get("reason") == "QuotaExceeded"
        )
        kubectl("-n", namespace.name, "delete", "resourcequota", "none")
        # deletion of Jobs
        namespace.apply("removed", ttlSecondsAfterFinished=0)
        namespace.wait("Ready", "True", name="removed")
        wait_for("its Jobs are gone", lambda: not namespace.get("jobs", "-l", "selfalign.dev/run=removed")["items"])
    operator.stop()  # releases the Lease
    name = next(one["metadata"]["name"] for one in documents if one["kind"] == "ServiceAccount")
    used = audit.used(namespace.cluster, f"system:serviceaccount:{namespace.name}:{name}")
    granted = audit.granted(documents, name) - {IN_ADMISSION}
    refused = {right for right, codes in used.items() if 403 in codes}
    assert (sorted(set(used) - granted), sorted(refused)) == ([], []), "the chart grants too little"
    assert sorted(granted - set(used)) == [], "the chart grants what is not used"
