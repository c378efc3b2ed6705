"""Runs in a Kueue queue: Kueue decides when a Job runs, and the run says what Kueue says."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.cluster.control_plane import Cluster, wait_for
from tests.cluster.kueue import kueue
from tests.cluster.namespace import Namespace
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.pretend_node import Ending, pretend_node, publish

from selfalign_operator.jobs.identity import STEP

pytestmark = pytest.mark.slow

GROUP = "kueue.x-k8s.io/v1beta1"
HELD = "redteaming-instructions"


@pytest.fixture(scope="module")
def queueing(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with Kueue at work."""
    with kueue(cluster):
        yield cluster


def queue(namespace: Namespace, *, gpus: int) -> None:
    """A queue of the namespace with a quota of GPUs, and plenty of everything else."""
    name = namespace.name
    quotas = [{"name": "cpu", "nominalQuota": "100"}, {"name": "memory", "nominalQuota": "100Gi"}]
    flavor = {"name": name, "resources": [*quotas, {"name": "nvidia.com/gpu", "nominalQuota": gpus}]}
    group = {"coveredResources": ["cpu", "memory", "nvidia.com/gpu"], "flavors": [flavor]}
    objects: list[dict[str, Any]] = [
        {"kind": "ResourceFlavor", "metadata": {"name": name}},
        {
            "kind": "ClusterQueue",
            "metadata": {"name": name},
            "spec": {"namespaceSelector": {}, "resourceGroups": [group]},
        },
        {"kind": "LocalQueue", "metadata": {"name": "team", "namespace": name}, "spec": {"clusterQueue": name}},
    ]
    text = yaml.safe_dump_all([{"apiVersion": GROUP, **thing} for thing in objects])
    namespace.cluster.kubectl("apply", "-f", "-", text=text)


def test_a_run_waits_for_quota_in_kueues_words_and_goes_on_when_there_is_some(
    queueing: Cluster, namespace: Namespace, operator: OperatorProcess
) -> None:
    queue(namespace, gpus=0)
    one_gpu = {"resources": {"limits": {"nvidia.com/gpu": 1}}}
    with pretend_node(queueing, publish):
        namespace.apply(queueName="team", stages={"redTeaming": one_gpu})
        wait_for("the run waits for quota", lambda: _reason(namespace) == "QuotaPending")
        wait_for("Kueue's words are told", lambda: "nvidia.com/gpu" in namespace.condition("Reconciling")["message"])
        message = namespace.condition("Reconciling")["message"]
        assert "queue team" in message and "insufficient" in message
        queue(namespace, gpus=2)
        namespace.wait("Ready", "True")
    assert all(job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team" for job in namespace.jobs())
    assert {workload["status"]["conditions"][-1]["type"] for workload in namespace.get("workloads")["items"]} == {
        "Finished"
    }


def test_a_queue_that_does_not_exist_is_named(
    queueing: Cluster, namespace: Namespace, operator: OperatorProcess
) -> None:
    namespace.apply(queueName="absent")
    wait_for(
        "the queue is named", lambda: "absent doesn't exist" in namespace.condition("Reconciling").get("message", "")
    )
    assert _reason(namespace) == "QuotaPending"


def test_a_job_that_kueue_preempts_is_resumed_and_counted(
    queueing: Cluster, namespace: Namespace, operator: OperatorProcess
) -> None:
    held = {HELD}

    def script(step: str, pod: dict[str, Any]) -> Ending | None:
        return None if step in held else publish(step, pod)

    def jobs() -> dict[str, str]:
        """Uid by name of the Jobs of the held step."""
        found = (job["metadata"] for job in namespace.jobs() if job["metadata"]["labels"][STEP] == HELD)
        return {metadata["name"]: metadata["uid"] for metadata in found}

    queue(namespace, gpus=2)
    with pretend_node(queueing, script):
        namespace.apply(queueName="team", stages={"redTeaming": {"resources": {"limits": {"nvidia.com/gpu": 1}}}})
        wait_for("a pod of the step is seen", lambda: _preempted(namespace).get("pods") == 1)
        before = jobs()
        workload = _workload(namespace, *before.values())
        _activate(namespace, workload, active=False)
        wait_for("the run waits for quota", lambda: _reason(namespace) == "QuotaPending")
        _activate(namespace, workload, active=True)
        wait_for("the stop is counted", lambda: _preempted(namespace).get("total") == 1)
        held.clear()
        namespace.wait("Ready", "True")
    assert jobs() == before


def _preempted(namespace: Namespace) -> dict[str, Any]:
    """What the run says of stops of the held step; empty before it says anything."""
    steps = [step for stage in namespace.status().get("stages", ()) for step in stage["steps"]]
    return next((step.get("preempted", {}) for step in steps if step["name"] == HELD), {})


def _workload(namespace: Namespace, uid: str) -> str:
    """Name of a Job's Workload."""
    return str(namespace.get("workloads", "-l", f"kueue.x-k8s.io/job-uid={uid}")["items"][0]["metadata"]["name"])


def _activate(namespace: Namespace, workload: str, *, active: bool) -> None:
    patch = f'{{"spec": {{"active": {str(active).lower()}}}}}'
    namespace.cluster.kubectl("-n", namespace.name, "patch", "workload", workload, "--type=merge", "-p", patch)


def _reason(namespace: Namespace) -> str:
    return str(namespace.condition("Reconciling").get("reason", ""))
