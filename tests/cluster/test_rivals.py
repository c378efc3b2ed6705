"""An operator that finds another one's pod where it watches says so in its log."""

from pathlib import Path

import pytest
import yaml
from tests.cluster.chart import rendered
from tests.cluster.control_plane import wait_for
from tests.cluster.namespace import Namespace
from tests.cluster.operator_process import OperatorProcess

pytestmark = pytest.mark.slow


def create_operator_pod(namespace: Namespace, release: str) -> None:
    """The pod of a release that watches this namespace, as its Deployment would create it."""
    objects = rendered("--set", "scope=namespaced", namespace=namespace.name, release=release)
    (template,) = (one["spec"]["template"] for one in objects if one["kind"] == "Deployment")
    template["spec"] |= {"serviceAccountName": "default", "automountServiceAccountToken": False}
    template["metadata"] |= {"name": f"{release}-0", "namespace": namespace.name}
    namespace.cluster.kubectl("create", "-f", "-", text=yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", **template}))


def test_another_release_in_the_namespace_is_named_in_the_log(namespace: Namespace) -> None:
    create_operator_pod(namespace, "theirs")
    process = OperatorProcess(namespace.cluster, namespace.name, environment={"SELFALIGN_NAME": "ours"})
    process.start()
    log: Path = process.log
    expected = f"the release {namespace.name}/theirs watches {namespace.name} as well, with other stage images"
    wait_for("the other release is named", lambda: expected in log.read_text())
    process.stop()
    assert f"the release {namespace.name}/ours" not in log.read_text()
