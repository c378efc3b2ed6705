"""Defaults that a LimitRange gives to containers count as if the run had set them."""

import json
from typing import Any

import pytest
import yaml
from tests.cluster.control_plane import wait_for
from tests.cluster.namespace import Namespace
from tests.cluster.operator_process import OperatorProcess

pytestmark = pytest.mark.slow


def limit_by_default(namespace: Namespace, cpu: str) -> None:
    """A LimitRange with a default CPU limit."""
    limits = [{"type": "Container", "default": {"cpu": cpu}, "defaultRequest": {"cpu": "100m"}}]
    metadata = {"name": "defaults", "namespace": namespace.name}
    body = {"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": {"limits": limits}}
    namespace.cluster.kubectl("apply", "-f", "-", text=yaml.safe_dump(body))


def stage_container(namespace: Namespace) -> dict[str, Any]:
    """The stage's container of the only pod, as the API server admitted it."""
    wait_for("a pod is created", lambda: bool(namespace.get("pods")["items"]))
    (pod,) = namespace.get("pods")["items"]
    (container,) = pod["spec"]["containers"]
    return dict(container)


def test_threads_follow_the_limit_of_a_limit_range(namespace: Namespace, operator: OperatorProcess) -> None:
    limit_by_default(namespace, "1500m")
    namespace.apply()
    container = stage_container(namespace)
    assert container["resources"]["limits"]["cpu"] == "1500m"
    threads = next(one for one in container["env"] if one["name"] == "OMP_NUM_THREADS")
    # the kubelet fills in this container's limit in whole CPUs, rounded up (downward API)
    reference = {"containerName": container["name"], "resource": "limits.cpu", "divisor": "1"}
    assert threads["valueFrom"] == {"resourceFieldRef": reference}, json.dumps(container["env"])
