"""An edit reaches a Job that waits, on a real API server and Job controller; remedies are followed as worded."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import generate_latest
from tests.cluster.control_plane import wait_for
from tests.cluster.in_process import IMAGES, InProcessOperator, client_of
from tests.cluster.namespace import SPEC, Namespace
from tests.cluster.pretend_node import pretend_node, publish
from tests.cluster.test_crashes import Died, Mortal
from tests.cluster.test_reconcile import versions

from selfalign_operator.cluster.health import Health
from selfalign_operator.jobs.identity import ATTEMPT, STEP
from selfalign_operator.jobs.job import StageImages

pytestmark = pytest.mark.slow

Object = dict[str, Any]
EARLY = timedelta(seconds=30)
"""How far the operator's clock is ahead, so that every pod is old enough to be reported."""


@pytest.fixture
def operator(namespace: Namespace) -> InProcessOperator:
    return InProcessOperator(namespace, client_of(namespace), ahead=EARLY)


def job_of(namespace: Namespace, step: str = "preflight") -> Object:
    """The Job of a step; empty while there is none, or while it is being deleted."""
    found = [job for job in namespace.jobs() if job["metadata"]["labels"][STEP] == step]
    assert len(found) < 2, f"{step} has two Jobs"
    return next((job for job in found if "deletionTimestamp" not in job["metadata"]), {})


def uid(namespace: Namespace, step: str = "preflight") -> str:
    return str(job_of(namespace, step).get("metadata", {}).get("uid"))


def pods_of(namespace: Namespace, step: str = "preflight") -> list[Object]:
    """Pods of a step, without those that are being deleted."""
    return [
        pod
        for pod in namespace.get("pods")["items"]
        if pod["metadata"]["labels"][STEP] == step and "deletionTimestamp" not in pod["metadata"]
    ]


def report(namespace: Namespace, step: str = "preflight", **status: Any) -> None:
    """What scheduler and kubelet would report of the step's pod."""
    wait_for(f"{step} has a pod", lambda: bool(pods_of(namespace, step)))
    (pod,) = pods_of(namespace, step)
    patch = ("patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", "-p")
    namespace.cluster.kubectl("-n", namespace.name, *patch, json.dumps({"status": status}))


def stage(state: Object) -> list[Object]:
    """Status of the stage's container."""
    return [{"name": "stage", "image": "x", "imageID": "x", "ready": False, "restartCount": 0, "state": state}]


def waits(reason: str, message: str = "") -> Object:
    return {"phase": "Pending", "containerStatuses": stage({"waiting": {"reason": reason, "message": message}})}


def create(namespace: Namespace, body: Object) -> None:
    namespace.cluster.kubectl("-n", namespace.name, "create", "-f", "-", text=json.dumps({"apiVersion": "v1"} | body))


def until_reported(namespace: Namespace, operator: InProcessOperator, reason: str) -> str:
    """Reconciles until the run reports a reason; its message."""
    operator.reconcile_until(lambda: namespace.condition("Reconciling").get("reason") == reason)
    return str(namespace.condition("Reconciling")["message"])


def at(path: str, value: Any) -> Object:
    """The fields of a spec with a value at a path, such as spec.podDefaults.serviceAccountName."""
    for name in reversed(path.removeprefix("spec.").split(".")):
        value = {name: value}
    return dict(value)


def until_waiting(namespace: Namespace, operator: InProcessOperator, step: str, *finished: str, **spec: Any) -> None:
    """Preflight and `finished` steps end well; there is no node for the others."""
    with pretend_node(namespace.cluster, publish, only={"preflight", *finished}):
        namespace.apply(**spec)
        operator.reconcile_until(lambda: bool(job_of(namespace, step)))


def recorded(namespace: Namespace, name: str) -> Object:
    steps = [step for stage in namespace.status().get("stages", ()) for step in stage["steps"]]
    return next((step for step in steps if step["name"] == name), {})


def timestamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_an_edit_replaces_the_job_that_waits_once_and_is_no_attempt(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    namespace.apply()
    operator.reconcile()
    before = uid(namespace)
    namespace.apply(podDefaults={"template": {"spec": {"nodeSelector": {"pool": "large"}}}})

    def selectors() -> list[Any]:
        return [pod["spec"].get("nodeSelector") for pod in pods_of(namespace)]

    operator.reconcile_until(lambda: selectors() == [{"pool": "large"}])
    assert uid(namespace) != before and job_of(namespace)["metadata"]["labels"][ATTEMPT] == "1"
    operator.reconcile()
    assert namespace.status()["preflight"]["attempt"] == 1
    written = versions(namespace)
    operator.reconcile()
    assert versions(namespace) == written
    assert b'retries_total{step="preflight"}' not in generate_latest(operator.health.registry)


def test_placement_that_no_node_has_is_changed_in_the_fields_of_the_stage_alone(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    until_waiting(namespace, operator, "redteaming-topics", "import")
    others = {step: uid(namespace, step) for step in ("preflight", "import", "evaluation-score-base")}
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    report(namespace, "redteaming-topics", conditions=[unscheduled])
    message = until_reported(namespace, operator, "Unschedulable")
    assert "0/3 nodes" in message and "change spec.stages.redTeaming.resources" in message
    assert "nodeSelector, affinity and tolerations in spec.stages.redTeaming.template" in message
    placement = {"resources": {"requests": {"memory": "1Gi"}}, "template": {"spec": {"nodeSelector": {"a": "b"}}}}
    namespace.apply(**at("spec.stages.redTeaming", placement))

    def selectors() -> list[Object]:
        return [pod["spec"].get("nodeSelector") for pod in pods_of(namespace, "redteaming-topics")]

    operator.reconcile_until(lambda: selectors() == [{"a": "b"}])
    (pod,) = pods_of(namespace, "redteaming-topics")
    assert pod["spec"]["containers"][0]["resources"]["requests"]["memory"] == "1Gi"
    assert {step: uid(namespace, step) for step in others} == others, "nothing else was touched"


def test_a_pull_secret_reaches_the_pod_by_the_field_that_the_message_names(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    namespace.apply()
    operator.reconcile()
    report(namespace, **waits("ErrImagePull", "pull access denied"))
    message = until_reported(namespace, operator, "ErrImagePull")
    field = re.search(r"name a pull Secret of this namespace in (\S+);", message)
    assert field is not None
    namespace.apply(**at(field[1], [{"name": "registry"}]))

    def secrets() -> list[Any]:
        return [pod["spec"].get("imagePullSecrets") for pod in pods_of(namespace)]

    operator.reconcile_until(lambda: secrets() == [[{"name": "registry"}]])


def test_another_image_of_the_chart_reaches_the_pod_without_an_edit(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    namespace.apply()
    operator.reconcile()
    report(namespace, **waits("ImagePullBackOff", "not found"))
    assert "images.registry or images.tag" in until_reported(namespace, operator, "ImagePullBackOff")
    upgraded = replace(operator, images=StageImages({name: f"{image}-mended" for name, image in IMAGES.names.items()}))

    def images() -> list[str]:
        return [pod["spec"]["containers"][0]["image"] for pod in pods_of(namespace)]

    upgraded.reconcile_until(lambda: images() == ["local.test/cpu:1-mended"])


def test_two_releases_with_different_images_leave_each_others_jobs(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    other_images = StageImages({name: f"{image}-other" for name, image in IMAGES.names.items()})
    other = replace(operator, images=other_images, release="other/selfalign", health=Health())
    namespace.apply()
    operator.reconcile()
    created = uid(namespace)
    for _ in range(3):
        other.reconcile()
        operator.reconcile()
    assert uid(namespace) == created


def test_a_service_account_that_is_missing_is_replaced_by_the_field_that_the_message_names(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    namespace.apply(podDefaults={"serviceAccountName": "absent"})
    message = until_reported(namespace, operator, "PodsRefused")
    field = re.search(r"or name another one in (\S+)$", message)
    assert field is not None and "absent" in message
    namespace.apply(**at(field[1], "default"))
    operator.reconcile_until(lambda: bool(pods_of(namespace)))


def test_what_pod_security_refuses_is_removed_from_the_template_that_the_message_names(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    namespace.cluster.kubectl("label", "namespace", namespace.name, "pod-security.kubernetes.io/enforce=restricted")
    namespace.apply(podDefaults={"template": {"spec": {"hostNetwork": True}}})
    message = until_reported(namespace, operator, "PodsRefused")
    assert "host namespaces" in message and "change spec.podDefaults.template to what is allowed" in message
    namespace.apply(**at("spec.podDefaults.template", {"spec": {}}))
    operator.reconcile_until(lambda: bool(pods_of(namespace)))


def test_a_quota_is_met_by_the_resources_that_the_message_names(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    quota = {"hard": {"requests.memory": "256Mi"}}
    create(namespace, {"kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": quota})
    wait_for("the quota is counted", lambda: "hard" in namespace.get("resourcequota", "small").get("status", {}))
    namespace.apply()
    message = until_reported(namespace, operator, "QuotaExceeded")
    assert "lower resources of container stage in spec.podDefaults.template" in message
    stage_container = {"name": "stage", "resources": {"requests": {"memory": "128Mi"}}}
    namespace.apply(**at("spec.podDefaults.template", {"spec": {"containers": [stage_container]}}))
    operator.reconcile_until(lambda: bool(pods_of(namespace)))


def test_a_queue_is_left_by_the_field_that_the_message_names(namespace: Namespace, operator: InProcessOperator) -> None:
    namespace.apply(queueName="team")
    # Whether this cluster has Kueue depends on the tests before.
    assert "spec.queueName" in until_reported(namespace, operator, "QuotaPending")
    namespace.cluster.kubectl("-n", namespace.name, "patch", "sar", "trial", "--type=merge", "-p", REMOVE_QUEUE)
    operator.reconcile_until(lambda: bool(pods_of(namespace)))


REMOVE_QUEUE = '{"spec": {"queueName": null}}'


def test_a_job_that_somebody_suspended_runs_once_its_field_is_set_back(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    namespace.apply()
    operator.reconcile()
    job, created = job_of(namespace)["metadata"]["name"], uid(namespace)
    patch = ("-n", namespace.name, "patch", "job", job, "--type=merge", "-p")
    namespace.cluster.kubectl(*patch, '{"spec": {"suspend": true}}')
    assert "set its spec.suspend to false" in until_reported(namespace, operator, "JobSuspended")
    namespace.cluster.kubectl(*patch, '{"spec": {"suspend": false}}')
    wait_for("the Job has a pod", lambda: bool(pods_of(namespace)))
    assert uid(namespace) == created


def test_a_missing_secret_is_replaced_by_the_field_that_names_it(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    model = {"uri": "hf://a/b", "revision": "0" * 40}
    namespace.apply(baseModel=model | {"secretRef": {"name": "absent"}})
    operator.reconcile()
    report(namespace, **waits("CreateContainerConfigError", 'secret "absent" not found'))
    message = until_reported(namespace, operator, "CreateContainerConfigError")
    field = re.search(r"or name another Secret in spec\.baseModel\.(\S+)$", message)
    assert field is not None
    namespace.apply(baseModel=model | {field[1]: {"name": "present"}})
    operator.reconcile_until(lambda: "present" in json.dumps(pods_of(namespace)))
    assert "absent" not in json.dumps([pod["spec"] for pod in pods_of(namespace)])
    assert job_of(namespace)["metadata"]["labels"][ATTEMPT] == "1"


def test_a_push_secret_that_cannot_be_mounted_is_replaced_by_the_field_that_names_it(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    namespace.apply(image={"repository": "reg.test/ida", "pushSecretRef": {"name": "absent"}})
    operator.reconcile()
    report(namespace, **waits("ContainerCreating"))
    (pod,) = pods_of(namespace)
    about = {"kind": "Pod", "name": pod["metadata"]["name"], "namespace": namespace.name, "uid": pod["metadata"]["uid"]}
    text = 'MountVolume.SetUp failed for volume "docker" : secret "absent" not found'
    event = {"kind": "Event", "metadata": {"name": "mount"}, "type": "Warning", "reason": "FailedMount"}
    create(namespace, event | {"message": text, "involvedObject": about, "lastTimestamp": timestamp()})
    message = until_reported(namespace, operator, "FailedMount")
    field = re.search(r"or name another one in (\S+)$", message)
    assert field is not None
    namespace.apply(image=SPEC["image"] | at(field[1], {"name": "present"})["image"])
    operator.reconcile_until(lambda: "present" in json.dumps(pods_of(namespace)))


def test_a_job_whose_pod_was_evicted_after_it_ran_is_left_alone_by_a_new_operator(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    until_waiting(namespace, operator, "import")
    created, now = uid(namespace, "import"), timestamp()
    report(namespace, "import", phase="Running", containerStatuses=stage({"running": {"startedAt": now}}))
    operator.reconcile()
    assert recorded(namespace, "import")["ran"] is True
    report(
        namespace,
        "import",
        phase="Failed",
        conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}],
        containerStatuses=stage({"terminated": {"exitCode": 143, "startedAt": now, "finishedAt": now}}),
    )
    (evicted,) = pods_of(namespace, "import")
    wait_for("a pod takes its place", lambda: len(pods_of(namespace, "import")) == 2)
    delete = ("delete", "pod", evicted["metadata"]["name"], "--force", "--grace-period=0")
    namespace.cluster.kubectl("-n", namespace.name, *delete)
    namespace.apply(podDefaults={"template": {"spec": {"nodeSelector": {"a": "b"}}}})
    restarted = InProcessOperator(namespace, client_of(namespace), ahead=EARLY)
    for _ in range(3):
        restarted.reconcile()
    assert uid(namespace, "import") == created
    assert recorded(namespace, "import")["ran"] is True


def test_steps_go_on_while_an_edit_has_preflight_repeated(namespace: Namespace, operator: InProcessOperator) -> None:
    until_waiting(namespace, operator, "import")
    created, first = uid(namespace, "import"), job_of(namespace)["metadata"]["name"]
    report(namespace, "import", phase="Running", startTime=timestamp())
    operator.reconcile()
    namespace.apply(artifacts=SPEC["artifacts"] | {"secretRef": {"name": "renewed"}})

    def repeated() -> bool:
        jobs = [job["metadata"] for job in namespace.jobs() if job["metadata"]["labels"][STEP] == "preflight"]
        return any(job["name"] != first for job in jobs)

    def accepted() -> bool:
        condition = namespace.condition("Accepted")
        return (condition["status"], condition["observedGeneration"]) == ("True", 2)

    operator.reconcile_until(repeated)
    assert uid(namespace, "import") == created
    with pretend_node(namespace.cluster, publish, only={"preflight"}):
        operator.reconcile_until(accepted)
    operator.reconcile()
    assert uid(namespace, "import") == created


def test_an_operator_that_dies_at_every_write_replaces_the_job_once(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    namespace.apply()
    operator.reconcile()
    first, jobs = uid(namespace), set[str]()
    namespace.apply(podDefaults={"serviceAccountName": "default"})
    for number in range(60):
        mortal = replace(operator, client=Mortal(operator.client, before=number % 3 == 0))
        try:
            mortal.reconcile()
            alive = True
        except Died:
            alive = False
        jobs |= {job["metadata"]["uid"] for job in namespace.jobs()}
        if alive and uid(namespace) not in (first, "None"):
            break
    assert len(jobs) == 2 and job_of(namespace)["metadata"]["labels"][ATTEMPT] == "1"


def test_lack_of_memory_is_final_and_the_field_that_the_message_names_moves_the_run_on(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    limited = {"redTeaming": {"resources": {"limits": {"memory": "64Mi"}}}}
    killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    until_waiting(namespace, operator, "redteaming-topics", "import", stages=limited)
    report(namespace, "redteaming-topics", phase="Failed", containerStatuses=stage(killed))
    operator.reconcile_until(lambda: namespace.condition("Stalled").get("reason") == "OOMKilled")
    field = re.search(r"limit was 64Mi .*: raise (\S+) ", namespace.condition("Stalled")["message"])
    assert field is not None
    assert sum(job["metadata"]["labels"][STEP] == "redteaming-topics" for job in namespace.jobs()) == 1
    namespace.apply(**at(field[1], "128Mi"))

    def limits() -> list[str]:
        pods = [pod for pod in pods_of(namespace, "redteaming-topics") if pod["status"]["phase"] == "Pending"]
        return [pod["spec"]["containers"][0]["resources"]["limits"]["memory"] for pod in pods]

    operator.reconcile_until(lambda: limits() == ["128Mi"])
