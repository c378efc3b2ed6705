"""An edit reaches a Job that waits, on a real API server and Job controller."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.cluster.control_plane import wait_for
from tests.cluster.in_process import InProcessOperator, client_of
from tests.cluster.namespace import Namespace
from tests.cluster.pretend_node import Ending, pretend_node, publish
from tests.cluster.test_reconcile import versions

from selfalign_operator.jobs.identity import ATTEMPT, STEP

pytestmark = pytest.mark.slow

Pod = dict[str, Any]


@pytest.fixture
def operator(namespace: Namespace) -> InProcessOperator:
    """An operator for which every pod is old enough to be reported."""
    return InProcessOperator(namespace, client_of(namespace), ahead=timedelta(seconds=30))


def job_of(namespace: Namespace, step: str) -> dict[str, Any]:
    """The Job of a step; empty while there is none, or while it is being deleted."""
    found = [job for job in namespace.jobs() if job["metadata"]["labels"][STEP] == step]
    assert len(found) < 2, f"{step} has two Jobs"
    return next((job for job in found if "deletionTimestamp" not in job["metadata"]), {})


def pod_spec(namespace: Namespace, step: str = "preflight") -> dict[str, Any]:
    spec: dict[str, Any] = job_of(namespace, step).get("spec", {}).get("template", {}).get("spec", {})
    return spec


def pods_of(namespace: Namespace, step: str) -> list[Pod]:
    return [pod for pod in namespace.get("pods")["items"] if pod["metadata"]["labels"][STEP] == step]


def set_status(namespace: Namespace, step: str, **status: Any) -> None:
    """What scheduler and kubelet would report of the step's pods."""
    wait_for(f"{step} has a pod", lambda: bool(pods_of(namespace, step)))
    for pod in pods_of(namespace, step):
        patch = ("patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", "-p")
        namespace.cluster.kubectl("-n", namespace.name, *patch, json.dumps({"status": status}))


def create(namespace: Namespace, kind: str, name: str, **fields: Any) -> None:
    body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}} | fields
    namespace.cluster.kubectl("-n", namespace.name, "create", "-f", "-", text=json.dumps(body))


def message(namespace: Namespace) -> str:
    return str(namespace.condition("Reconciling").get("message", ""))


def has_reason(namespace: Namespace, reason: str) -> Callable[[], bool]:
    return lambda: namespace.condition("Reconciling").get("reason") == reason


def only_preflight_ends(step: str, pod: Pod) -> Ending | None:
    return publish(step, pod) if step == "preflight" else None


def until_import_waits(namespace: Namespace, operator: InProcessOperator) -> None:
    """Preflight accepts; there is no node for the import."""
    with pretend_node(namespace.cluster, only_preflight_ends):
        operator.reconcile_until(lambda: namespace.condition("Accepted").get("status") == "True")
    operator.reconcile_until(lambda: bool(job_of(namespace, "import")))


@pytest.mark.parametrize(
    ("edit", "took_effect"),
    [
        ({"podDefaults": {"serviceAccountName": "default"}}, lambda spec: spec.get("serviceAccountName") == "default"),
        (
            {"podDefaults": {"template": {"spec": {"nodeSelector": {"pool": "large"}}}}},
            lambda spec: spec.get("nodeSelector") == {"pool": "large"},
        ),
        (
            {"image": {"repository": "reg.test/ida", "pushSecretRef": {"name": "other"}}},
            lambda spec: "other" in json.dumps(spec.get("volumes", [])),
        ),
    ],
    ids=["service-account", "node-selector", "push-secret"],
)
def test_an_edit_reaches_the_job_that_waits_and_no_second_one_is_made(
    namespace: Namespace, operator: InProcessOperator, edit: dict[str, Any], took_effect: Callable[[Any], bool]
) -> None:
    namespace.apply()
    operator.reconcile()
    before = job_of(namespace, "preflight")["metadata"]["uid"]
    namespace.apply(**edit)
    operator.reconcile_until(lambda: took_effect(pod_spec(namespace)))
    job = job_of(namespace, "preflight")["metadata"]
    assert job["uid"] != before and job["labels"][ATTEMPT] == "1"
    operator.reconcile()
    written = versions(namespace)
    operator.reconcile()
    assert versions(namespace) == written
