"""Why a Job waits, where only Events and other objects know: what the Job controller and the kubelet report."""

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.cluster.in_process import InProcessOperator, client_of
from tests.cluster.namespace import Namespace

from selfalign_operator.jobs.pending_reason import GRACE_PERIOD

pytestmark = pytest.mark.slow


@pytest.fixture
def operator(namespace: Namespace) -> InProcessOperator:
    """Its clock is ahead by what a pod may take to start, so that nothing has to be waited for."""
    return InProcessOperator(namespace, client_of(namespace), ahead=GRACE_PERIOD + timedelta(seconds=5))


def waits_for(namespace: Namespace, operator: InProcessOperator, reason: str) -> str:
    """Reconciles until the run waits for a reason; its message."""
    operator.reconcile_until(lambda: namespace.condition("Reconciling").get("reason") == reason)
    message: str = namespace.condition("Reconciling")["message"]
    return message


def test_a_pod_that_the_namespace_forbids_is_explained_by_admission(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    namespace.cluster.kubectl("label", "namespace", namespace.name, "pod-security.kubernetes.io/enforce=restricted")
    privileged = {"privileged": True, "allowPrivilegeEscalation": True}
    container = {"name": "stage", "securityContext": privileged}
    namespace.apply(podDefaults={"template": {"spec": {"containers": [container]}}})
    assert "violates PodSecurity" in waits_for(namespace, operator, "PodsRefused")


def test_a_pod_over_quota_is_explained_by_the_quota(namespace: Namespace, operator: InProcessOperator) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    namespace.cluster.kubectl("-n", namespace.name, "create", "-f", "-", text=json.dumps(quota))
    namespace.apply()
    assert "exceeded quota: none" in waits_for(namespace, operator, "QuotaExceeded")


def creating(namespace: Namespace) -> dict[str, Any]:
    """Preflight's pod, scheduled and waiting for its container."""
    (pod,) = namespace.get("pods")["items"]
    container = {"name": "stage", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    status = {"containerStatuses": [container | {"state": {"waiting": {"reason": "ContainerCreating"}}}]}
    patch = ("patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", "-p")
    namespace.cluster.kubectl("-n", namespace.name, *patch, json.dumps({"status": status}))
    return dict(pod["metadata"])


def test_a_volume_that_cannot_be_mounted_is_explained_by_the_kubelet(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    namespace.apply()
    operator.reconcile_until(lambda: bool(namespace.get("pods")["items"]))
    pod = creating(namespace)
    operator.reconcile()
    assert namespace.condition("Reconciling")["reason"] == "Preflight", "it may just be pulling the image"
    about = {"kind": "Pod", "name": pod["name"], "namespace": namespace.name, "uid": pod["uid"]}
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "mount", "namespace": namespace.name},
        "involvedObject": about,
        "type": "Warning",
        "reason": "FailedMount",
        "message": 'secret "absent" not found',
        "lastTimestamp": "2026-01-01T00:00:00Z",
    }
    client_of(namespace).create(event)
    assert 'secret "absent" not found' in waits_for(namespace, operator, "FailedMount")
