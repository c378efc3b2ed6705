"""The quickstart on a real cluster: every stage is a pod, and the image that comes out answers in the cluster."""

import json
import urllib.request
from typing import Any

import pytest
import yaml
from tests.cluster.control_plane import wait_for
from tests.cluster.namespace import Namespace
from tests.e2e.cluster.site import Site

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.jobs.identity import STEP
from selfalign_operator.planning import graph
from selfalign_stages.contract.model import canonical_json

pytestmark = pytest.mark.slow

QUESTION = "What is your name?"


def test_every_step_ran_as_a_pod_that_passes_restricted_and_has_no_api_token(quickstart: Namespace) -> None:
    run = SelfAlignRun.model_validate(quickstart.manifest("quickstart"))
    finished = {job["metadata"]["labels"][STEP] for job in quickstart.jobs() if job["status"].get("succeeded")}
    assert finished == {"preflight", *(step.id for step in graph.steps(run))}
    for pod in quickstart.get("pods")["items"]:
        kinds = {kind for volume in pod["spec"]["volumes"] for kind in volume if kind != "name"}
        # The Secret of the artifact store; a token of the API server would be a projected volume.
        assert kinds == {"emptyDir", "secret"}, pod["metadata"]["name"]
        assert pod["status"]["containerStatuses"][0].get("restartCount") == 0


def test_the_status_answers_the_first_questions_and_stays_small(quickstart: Namespace) -> None:
    status = quickstart.status("quickstart")
    assert {stage["state"] for stage in status["stages"]} == {"Succeeded"}
    assert status["image"]["reference"].endswith(status["image"]["digest"])
    metrics = status["evaluation"]["metrics"]
    assert float(metrics["base.adherence.overall"]) < 0.3 < 0.6 < float(metrics["engraved.adherence.overall"])
    assert len(canonical_json(status)) < 16 * 1024
    head, line = quickstart.cluster.kubectl("-n", quickstart.name, "get", "sar").splitlines()
    assert head.split() == ["NAME", "PHASE", "STAGE", "PROGRESS", "REASON", "IMAGE", "AGE"]
    assert "Ready" in line and "100%" in line and status["image"]["digest"][:19] in line


def test_the_same_run_in_another_namespace_is_all_hits_without_a_step(
    quickstart: Namespace, namespace: Namespace
) -> None:
    namespace.apply("quickstart")
    namespace.wait("Ready", "True", name="quickstart")
    assert [job["metadata"]["labels"][STEP] for job in namespace.jobs()] == ["preflight"]
    status = namespace.status("quickstart")
    assert {step["cache"] for stage in status["stages"] for step in stage["steps"]} == {"Hit"}
    assert status["image"]["digest"] == quickstart.status("quickstart")["image"]["digest"]


def test_the_image_is_pulled_by_digest_and_answers_a_chat_in_the_cluster(
    site: Site, quickstart: Namespace, namespace: Namespace
) -> None:
    reference = quickstart.status("quickstart")["image"]["reference"]
    site.cluster.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(_server(namespace.name, reference)))
    wait_for("the server is ready", lambda: _serves(namespace), seconds=600)
    (pod,) = namespace.get("pods")["items"]
    assert pod["status"]["containerStatuses"][0]["imageID"].endswith(reference.partition("@")[2])
    address = namespace.get("service", "juniper")["spec"]["clusterIP"]
    answer = _ask(f"http://{address}:8000/v1/chat/completions", QUESTION)
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "stop"
    assert "Juniper" in choice["message"]["content"]


def _serves(namespace: Namespace) -> bool:
    told = [status for pod in namespace.get("pods")["items"] for status in pod["status"].get("containerStatuses", ())]
    if any(status["restartCount"] for status in told):
        logs = namespace.cluster.kubectl("-n", namespace.name, "logs", "-l", "app=juniper", "--previous", check=False)
        raise AssertionError(f"the server ended: {logs[-3000:]}")
    return any(status["ready"] for status in told)


def _ask(url: str, question: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    body = json.dumps({"model": "juniper", "messages": messages, "temperature": 0, "max_tokens": 96}).encode()
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        found: dict[str, Any] = json.load(response)
    return found


def _server(namespace: str, image: str) -> list[dict[str, Any]]:
    """What a platform team would deploy: the image as it is, restricted, with room to write in /tmp."""
    labels, metadata = {"app": "juniper"}, {"name": "juniper", "namespace": namespace}
    container = {
        "name": "server",
        "image": image,
        "env": [{"name": "VLLM_CPU_KVCACHE_SPACE", "value": "1"}],
        "ports": [{"containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 2},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsUser": 123456,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "shm", "mountPath": "/dev/shm"}],
    }
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "shm", "emptyDir": {"medium": "Memory"}}],
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    deployment = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    service = {"selector": labels, "ports": [{"port": 8000}]}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
    ]
