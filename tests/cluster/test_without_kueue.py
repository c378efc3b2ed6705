"""A queue is named in a cluster without Kueue, or with one of another version. The shared cluster may have it as well,
so this one is apart."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cluster.conftest import ROOT
from tests.cluster.control_plane import control_plane, wait_for
from tests.cluster.in_process import InProcessOperator, client_of
from tests.cluster.namespace import Namespace

from selfalign_operator.cluster.client import ApiError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def namespace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """A namespace of a cluster without Kueue and without controllers: nothing here needs a pod."""
    with control_plane(tmp_path_factory.mktemp("bare"), controllers=False) as cluster:
        cluster.kubectl("apply", "--server-side", "-f", str(ROOT / "charts/selfalign-operator/files/crd.yaml"))
        wait_for("runs are served", lambda: "No resources" in cluster.kubectl("get", "selfalignruns", check=False))
        cluster.kubectl("create", "namespace", "team")
        yield Namespace(cluster, "team")


def test_workloads_are_not_found(namespace: Namespace) -> None:
    with pytest.raises(ApiError) as raised:
        client_of(namespace).get_workload(namespace.name, "uid")
    assert raised.value.code == 404


def test_a_queue_is_named_with_its_remedy(namespace: Namespace) -> None:
    namespace.apply(queueName="team-a")
    operator = InProcessOperator(namespace, client_of(namespace))
    operator.reconcile_until(lambda: namespace.condition("Reconciling").get("reason") == "QuotaPending")
    message = namespace.condition("Reconciling")["message"]
    assert "team-a" in message and "no Kueue" in message and "remove spec.queueName" in message


@pytest.fixture
def workloads(namespace: Namespace) -> Iterator[str]:
    """Kueue's definition of Workloads as far as the operator reads it, served as v1beta1 alone; returns its name."""
    name = "workloads.kueue.x-k8s.io"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = [
        {"name": version, "served": version == "v1beta1", "storage": version == "v1beta1", "schema": schema}
        for version in ("v1beta1", "v1beta2", "v1")
    ]
    names = {"kind": "Workload", "plural": "workloads"}
    spec = {"group": "kueue.x-k8s.io", "scope": "Namespaced", "names": names, "versions": versions}
    body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name}}
    namespace.cluster.kubectl("apply", "-f", "-", text=json.dumps(body | {"spec": spec}))
    yield name
    namespace.cluster.kubectl("delete", "crd", name)


def serve(namespace: Namespace, definition: str, version: str) -> None:
    """Serves Workloads in one version alone."""
    spec: dict[str, Any] = json.loads(namespace.cluster.kubectl("get", "crd", definition, "-o", "json"))["spec"]
    for index, entry in enumerate(spec["versions"]):
        patch = [{"op": "replace", "path": f"/spec/versions/{index}/served", "value": entry["name"] == version}]
        namespace.cluster.kubectl("patch", "crd", definition, "--type=json", "-p", json.dumps(patch))
    wait_for("the version is served", lambda: _served(namespace) == [version])


def _served(namespace: Namespace) -> list[str]:
    group = namespace.cluster.kubectl("get", "--raw", "/apis/kueue.x-k8s.io", check=False)
    return [entry["version"] for entry in json.loads(group)["versions"]] if group.startswith("{") else []


def test_workloads_are_read_in_whatever_version_kueue_serves(namespace: Namespace, workloads: str) -> None:
    client = client_of(namespace)
    for number, version in enumerate(("v1beta1", "v1beta2", "v1")):
        serve(namespace, workloads, version)
        metadata = {"name": version, "namespace": namespace.name, "labels": {"kueue.x-k8s.io/job-uid": str(number)}}
        body = {"apiVersion": f"kueue.x-k8s.io/{version}", "kind": "Workload", "metadata": metadata}
        namespace.cluster.kubectl("create", "-f", "-", text=json.dumps(body))
        found = client.get_workload(namespace.name, str(number))
        assert found is not None and found["metadata"]["name"] == version
