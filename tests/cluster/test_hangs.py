"""What a run says about pods that hang, on a real API server; every remedy is followed as the message words it."""

import json
import re
import shlex
from datetime import timedelta
from typing import Any

import pytest
from tests.cluster.in_process import InProcessOperator, client_of
from tests.cluster.namespace import Namespace
from tests.cluster.pretend_node import Ending, pretend_node, publish

from selfalign_operator.jobs.identity import ATTEMPT, STEP

pytestmark = pytest.mark.slow
HOUR = timedelta(hours=1)


@pytest.fixture
def operator(namespace: Namespace) -> InProcessOperator:
    """Its clock is half a minute ahead, so that no grace period has to be waited for."""
    return InProcessOperator(namespace, client_of(namespace), ahead=timedelta(seconds=30))


def reason(namespace: Namespace, type_: str = "Reconciling") -> str:
    return str(namespace.condition(type_).get("reason"))


def message(namespace: Namespace, type_: str = "Reconciling") -> str:
    return str(namespace.condition(type_)["message"])


def pods(namespace: Namespace, step: str) -> list[dict[str, Any]]:
    """The pods of a step, oldest first."""
    items = namespace.get("pods", "-l", f"{STEP}={step}")["items"]
    return sorted(items, key=lambda pod: (pod["metadata"]["labels"][ATTEMPT], pod["metadata"]["creationTimestamp"]))


def attempts(namespace: Namespace, step: str) -> list[str]:
    labels = [job["metadata"]["labels"] for job in namespace.jobs()]
    return sorted(one[ATTEMPT] for one in labels if one[STEP] == step)


def requested(namespace: Namespace, step: str) -> list[str]:
    """The storage that the pods of a step request."""
    resources = [pod["spec"]["containers"][0]["resources"] for pod in pods(namespace, step)]
    return [one.get("requests", {}).get("ephemeral-storage", "") for one in resources]


def until_pods(namespace: Namespace, operator: InProcessOperator, step: str = "preflight", *, number: int = 1) -> Any:
    """Reconciles until a step has this many pods; the newest."""
    operator.reconcile_until(lambda: len(pods(namespace, step)) >= number)
    return pods(namespace, step)[-1]


def report(namespace: Namespace, pod: dict[str, Any], **status: Any) -> None:
    """Sets the status of a pod as a kubelet does."""
    patch = ("patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", "-p")
    namespace.cluster.kubectl("-n", namespace.name, *patch, json.dumps({"status": status}))


def state(name: str, **now: Any) -> dict[str, Any]:
    """An entry of containerStatuses."""
    return {"name": name, "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": now}


def bind(namespace: Namespace, pod: dict[str, Any], node: str) -> None:
    """Puts a pod on a node that does not exist as a machine, and does not report."""
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}
    namespace.cluster.kubectl("apply", "-f", "-", text=json.dumps(body))
    ready = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
    patch = ("patch", "node", node, "--subresource=status", "--type=merge", "-p")
    namespace.cluster.kubectl(*patch, json.dumps({"status": {"conditions": [ready]}}))
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod["metadata"]["name"]}}
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    namespace.cluster.kubectl("-n", namespace.name, "create", "-f", "-", text=json.dumps(binding | {"target": target}))


def follow(namespace: Namespace, command: str) -> None:
    """Runs a command of a message: `command` is its beginning, the rest is taken as it stands there."""
    # Conditions beside the one that explains the state have the beginning of the message alone.
    texts = [one["message"] for one in namespace.status()["conditions"] if not one["message"].endswith("...")]
    found = next(match for text in texts if (match := re.search(rf"kubectl {command}('[^']*'|[^,;'.]|\.(?! ))*", text)))
    assert found, texts
    _, *arguments = shlex.split(found[0])
    namespace.cluster.kubectl("-n", namespace.name, *arguments)


def beside_a_sidecar(namespace: Namespace) -> Any:
    """A node on which the stage ends at once, while the container `proxy` runs for ever."""
    kubelet = namespace.cluster.kubectl

    def script(step: str, pod: dict[str, Any]) -> Ending | None:
        if not any(one["name"] == "proxy" for one in pod["spec"]["containers"]):
            return publish(step, pod)
        if len(pod.get("status", {}).get("containerStatuses") or ()) < 2:
            code, text = publish(step, pod)
            ended = {"exitCode": code, "message": text, "startedAt": "2026-01-01T00:00:00Z"}
            states = [state("stage", terminated=ended | {"finishedAt": "2026-01-01T00:00:01Z"})]
            states.append(state("proxy", running={"startedAt": "2026-01-01T00:00:00Z"}))
            patch = ("patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", "-p")
            body = {"status": {"phase": "Running", "containerStatuses": states}}
            kubelet("-n", namespace.name, *patch, json.dumps(body), check=False)
        return None

    return script


def test_steps_end_beside_sidecars_that_never_do_and_native_ones_cost_no_time(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    proxy = {"name": "proxy", "image": "proxy:1"}
    with pretend_node(namespace.cluster, beside_a_sidecar(namespace)):
        namespace.apply(podDefaults={"template": {"spec": {"containers": [proxy]}}})
        operator.reconcile_until(lambda: reason(namespace) == "SidecarStillRunning")
        assert "container proxy still runs" in message(namespace) and "restartPolicy: Always" in message(namespace)
        operator.reconcile_until(lambda: not pods(namespace, "preflight") and bool(pods(namespace, "import")))
        native = {"initContainers": [proxy | {"restartPolicy": "Always"}]}
        labels = {"sidecar.istio.io/inject": "false"}
        namespace.apply(podDefaults={"template": {"metadata": {"labels": labels}, "spec": native}})
        operator.reconcile_until(lambda: bool(namespace.get("pods", "-l", "sidecar.istio.io/inject=false")["items"]))
        operator.reconcile_until(lambda: reason(namespace) != "SidecarStillRunning")
    assert attempts(namespace, "preflight") == [], "it was deleted once its result was recorded, and is not repeated"
    events = {event["reason"] for event in namespace.get("events")["items"]}
    assert "SidecarStillRunning" in events


def test_a_pod_that_the_kubelet_rejects_is_explained_and_the_next_attempt_follows_the_remedy(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    namespace.apply()
    pod = until_pods(namespace, operator)
    words = "Allocate failed due to no healthy devices present"
    report(namespace, pod, phase="Failed", reason="UnexpectedAdmissionError", message=words)
    operator.reconcile_until(lambda: reason(namespace) == "Retrying")
    assert words in message(namespace) and "backoff limit" not in message(namespace)
    assert "nodeAffinity in spec.podDefaults.template" in message(namespace)
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["n1"]}]}]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    namespace.apply(podDefaults={"template": {"spec": {"affinity": affinity}}})
    report(namespace, until_pods(namespace, operator, number=2), phase="Failed", reason="UnexpectedAdmissionError")
    operator.reconcile_until(lambda: any("affinity" in one["spec"] for one in pods(namespace, "preflight")))


def test_an_init_container_that_fails_is_named(namespace: Namespace, operator: InProcessOperator) -> None:
    init = {"name": "setup", "image": "setup:1"}
    namespace.apply(podDefaults={"template": {"spec": {"initContainers": [init]}}})
    pod = until_pods(namespace, operator)
    failed = state("setup", terminated={"exitCode": 3, "reason": "Error", "message": "no route to vault"})
    waiting = state("stage", waiting={"reason": "PodInitializing"})
    report(namespace, pod, phase="Failed", initContainerStatuses=[failed], containerStatuses=[waiting])
    operator.reconcile_until(lambda: reason(namespace) == "Retrying")
    assert "init container setup ended with exit code 3 (Error): no route to vault" in message(namespace)
    namespace.apply(podDefaults={"template": {"spec": {"initContainers": [init | {"image": "setup:2"}]}}})
    pod = until_pods(namespace, operator, number=2)
    report(namespace, pod, phase="Failed", initContainerStatuses=[failed], containerStatuses=[waiting])
    operator.reconcile_until(lambda: any(_image(one) == "setup:2" for one in pods(namespace, "preflight")))


def _image(pod: dict[str, Any]) -> str:
    """The image of a pod's first init container."""
    return str(pod["spec"]["initContainers"][0]["image"])


def test_any_container_that_cannot_start_is_named(namespace: Namespace, operator: InProcessOperator) -> None:
    namespace.apply(podDefaults={"template": {"spec": {"containers": [{"name": "proxy", "image": "proxy:1"}]}}})
    pod = until_pods(namespace, operator)
    never = {"reason": "ErrImageNeverPull", "message": 'Container image "proxy:1" is not present'}
    report(namespace, pod, containerStatuses=[state("stage", running={}), state("proxy", waiting=never)])
    operator.reconcile()
    assert reason(namespace) == "Preflight", "the stage works all the same"
    creating = state("stage", waiting={"reason": "ContainerCreating"})
    report(namespace, pod, containerStatuses=[creating, state("proxy", waiting=never)])
    operator.reconcile_until(lambda: reason(namespace) == "ErrImageNeverPull")
    assert "container proxy does not start" in message(namespace) and "load it there" in message(namespace)
    report(namespace, pod, containerStatuses=[state("stage", running={}), state("proxy", running={})])
    operator.reconcile_until(lambda: reason(namespace) == "Preflight")


def evict(namespace: Namespace, pod: dict[str, Any]) -> None:
    """Evicts a pod as a kubelet does whose disk is full."""
    disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
    words = "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 900Mi. "
    report(namespace, pod, phase="Failed", reason="Evicted", message=words, conditions=[disrupted])


def test_evictions_name_the_resource_and_an_edit_of_it_replaces_the_job(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    def script(step: str, pod: dict[str, Any]) -> Ending | None:
        return publish(step, pod) if step in ("preflight", "import") else None

    with pretend_node(namespace.cluster, script):
        namespace.apply()
        for number in (1, 2):
            evict(namespace, until_pods(namespace, operator, "redteaming-topics", number=number))
        operator.reconcile_until(lambda: "2 times" in message(namespace))
        assert reason(namespace) == "Evicted" and "low on resource: ephemeral-storage" in message(namespace)
        assert "raise resources.requests.ephemeral-storage of the stage" in message(namespace)
        resources = {"requests": {"ephemeral-storage": "20Gi"}}
        namespace.apply(stages={"redTeaming": {"resources": resources}})
        operator.reconcile_until(lambda: "20Gi" in requested(namespace, "redteaming-topics"))
    operator.reconcile_until(lambda: reason(namespace) != "Evicted")


def test_a_pod_on_a_lost_node_names_it_and_the_taint_of_the_message_frees_the_step(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    namespace.apply()
    pod, node = until_pods(namespace, operator), f"lost-{namespace.name}"
    bind(namespace, pod, node)
    report(namespace, pod, phase="Running", containerStatuses=[state("stage", running={})])
    namespace.cluster.kubectl("-n", namespace.name, "delete", "pod", pod["metadata"]["name"], "--wait=false")
    operator.ahead = timedelta(seconds=150)
    operator.reconcile_until(lambda: reason(namespace) == "PodStuckTerminating")
    assert f"node {node} does not confirm it" in message(namespace)
    follow(namespace, "taint node")
    operator.reconcile_until(lambda: reason(namespace) not in ("PodStuckTerminating", "None"))
    assert pod["metadata"]["name"] not in {one["metadata"]["name"] for one in pods(namespace, "preflight")}
    namespace.cluster.kubectl("delete", "node", node)


def test_a_step_without_progress_loses_its_pod_and_is_retried(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    def script(step: str, pod: dict[str, Any]) -> Ending | None:
        return publish(step, pod) if step == "preflight" else None

    with pretend_node(namespace.cluster, script):
        namespace.apply(podDefaults={"progressDeadline": "1h"})
        operator.reconcile_until(lambda: any(p["status"].get("phase") == "Running" for p in pods(namespace, "import")))
        operator.ahead = HOUR + timedelta(seconds=30)
        operator.reconcile_until(lambda: reason(namespace) == "ProgressDeadlineExceeded")
        assert "spec.podDefaults.progressDeadline (1h)" in message(namespace) and "raise" in message(namespace)
        operator.reconcile_until(lambda: attempts(namespace, "import") == ["2"])
        namespace.apply(podDefaults={"progressDeadline": "9h"})
        operator.ahead = 5 * HOUR
        operator.reconcile_until(lambda: reason(namespace) == "Import")
    assert attempts(namespace, "import") == ["2"]
