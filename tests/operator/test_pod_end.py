"""What a run says about pods that end, wait or stay for a cause outside the stage's container."""

from datetime import timedelta
from typing import Any

import pytest
from tests.operator.builders import SimulatedRun, result, run
from tests.operator.test_job_status import COMPLETE, FAILED, NOW, observed_job, pod, read

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.plan import RemoveAttempt
from selfalign_stages.contract.task import Failure

LATER = NOW + timedelta(minutes=1)
PUBLISHED = result("import", "k").model_dump_json(by_alias=True)


def on_node(one: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """The pod on node n1, with further metadata."""
    return one | {"spec": one["spec"] | {"nodeName": "n1"}, "metadata": one["metadata"] | metadata}


def rejected(reason: str, message: str = "why") -> dict[str, Any]:
    """A pod that the kubelet ended before its container started."""
    one = pod(containerStatuses=[], phase="Failed")
    one["status"] |= {"reason": reason, "message": message}
    return on_node(one)


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("UnexpectedAdmissionError", "device plugin"),
        ("TopologyAffinityError", "NUMA"),
        ("NodeAffinity", "labels changed"),
        ("OutOfcpu", "taken by other pods"),
        ("OutOfmemory", "taken by other pods"),
        ("OutOfpods", "taken by other pods"),
        ("Preempting", "critical pod"),
        ("NodeShutdown", "shut down"),
        ("NodeLost", "does not respond"),
        ("SomethingNew", "kubectl describe node"),
    ],
)
def test_a_pod_that_the_kubelet_rejects_gives_its_words_node_and_remedy(reason: str, says: str) -> None:
    failure = read(observed_job(condition=FAILED), rejected(reason)).failure
    assert failure.reason == reason
    assert f"pod p on node n1 ended ({reason}): why" in failure.message and says in failure.message
    assert "too often" not in failure.message


@pytest.mark.parametrize("reason", ["OutOfnvidia.com/gpu", "a b", "9"])
def test_a_reason_that_no_condition_may_have_is_replaced_and_quoted(reason: str) -> None:
    failure = read(observed_job(condition=FAILED), rejected(reason)).failure
    assert failure.reason in ("OutOfDevices", "PodFailed") and reason in failure.message


def init_failed(**ended: Any) -> dict[str, Any]:
    states = [
        {"name": "fine", "state": {"terminated": {"exitCode": 0}}},
        {"name": "setup", "state": {"terminated": {"exitCode": 3, "reason": "Error"} | ended}},
    ]
    waiting = [{"name": "stage", "state": {"waiting": {"reason": "PodInitializing"}}}]
    return on_node(pod(phase="Failed", initContainerStatuses=states, containerStatuses=waiting))


@pytest.mark.parametrize("code", [1, 3, 42, 43, 75])
def test_a_failed_init_container_is_named_and_its_exit_code_is_none_of_the_stages(code: int) -> None:
    attempt = read(observed_job(condition=FAILED), init_failed(exitCode=code, message="no route"))
    assert (attempt.exit_code, attempt.failure.reason) == (1, "InitContainerFailed")
    assert f"init container setup ended with exit code {code} (Error): no route" in attempt.failure.message
    assert "kubectl logs p -c setup" in attempt.failure.message


def evicted(message: str, *, disrupted: bool, name: str = "p") -> dict[str, Any]:
    one = pod(code=137, phase="Failed", name=name)
    one["status"] |= {"reason": "Evicted", "message": message}
    one["status"] |= {"conditions": [{"type": "DisruptionTarget", "status": "True"}]} if disrupted else {}
    return on_node(one)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("The node was low on resource: ephemeral-storage. Threshold 1Gi", "resources.requests.ephemeral-storage"),
        ("The node was low on resource: memory. Threshold quantity: 100Mi", "resources.requests.memory"),
        ("The node was low on resource: inodes.", "resources.requests.ephemeral-storage"),
        ("Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.", "limits.ephemeral-storage"),
        ('Container stage exceeded its local ephemeral storage limit "1Gi".', "limits.ephemeral-storage"),
        ('Usage of EmptyDir volume "scratch" exceeds the limit "1Gi".', "sizeLimit"),
    ],
)
def test_an_eviction_names_the_field_of_what_ran_short(message: str, field: str) -> None:
    ended = read(observed_job(condition=FAILED), evicted(message, disrupted=False)).failure
    assert ended.reason == "Evicted" and message in ended.message and field in ended.message


def test_evictions_within_a_job_that_goes_on_are_counted_and_explained() -> None:
    low = "The node was low on resource: ephemeral-storage."
    pods = [evicted(low, disrupted=True, name=name) for name in ("a", "b")]
    attempt = read(observed_job(), *pods, pod(name="c"))
    assert attempt.running and attempt.disruption.reason == "Evicted"
    assert attempt.disruption.message.startswith("2 times; last: pod")
    assert read(observed_job(), pod()).disruption is None


@pytest.mark.parametrize("kind", ["initContainerStatuses", "containerStatuses"])
@pytest.mark.parametrize(
    "reason",
    [
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "ErrImagePull",
        "ImagePullBackOff",
        "RegistryUnavailable",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "CrashLoopBackOff",
        "SomethingNew",
    ],
)
def test_any_container_that_cannot_start_is_named_with_its_reason(kind: str, reason: str) -> None:
    stuck = {"name": "proxy", "state": {"waiting": {"reason": reason, "message": "why"}}}
    stage = {"name": "stage", "state": {"waiting": {"reason": "PodInitializing"}}}
    states: dict[str, Any] = {"containerStatuses": [stage]} | {
        kind: [stuck] if kind.startswith("init") else [stage, stuck]
    }
    one = on_node(pod(phase="Pending"))
    one["status"] |= states
    pending = read(observed_job(), one, now=LATER).pending
    assert pending.reason == reason
    assert f"pod p on node n1: container proxy does not start ({reason}): why" in pending.message
    assert ";" in pending.message, "a remedy follows"


def test_a_container_that_cannot_start_comes_before_one_that_is_being_created() -> None:
    states = [
        {"name": "stage", "state": {"waiting": {"reason": "ContainerCreating"}}},
        {"name": "proxy", "state": {"waiting": {"reason": "InvalidImageName"}}},
    ]
    attempt = read(observed_job(), pod(phase="Pending", containerStatuses=states), now=LATER)
    assert attempt.pending.reason == "InvalidImageName"


def test_a_crashing_sidecar_beside_a_working_stage_is_no_reason_to_wait() -> None:
    crashing = [{"name": "proxy", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
    assert read(observed_job(), pod(phase="Running", initContainerStatuses=crashing), now=LATER).pending is None


def with_sidecar(
    *, code: int | None = 0, message: str = PUBLISHED, name: str = "p", sidecar: str = "running"
) -> dict[str, Any]:
    one = pod(code=code, message=message, name=name, phase="Running")
    states = {"running": {}, "waiting": {"reason": "ImagePullBackOff"}, "terminated": {"exitCode": 0}}
    one["status"]["containerStatuses"].append({"name": "istio-proxy", "state": {sidecar: states[sidecar]}})
    return on_node(one)


@pytest.mark.parametrize("sidecar", ["running", "waiting"])
def test_a_sidecar_does_not_keep_a_step_from_ending(sidecar: str) -> None:
    attempt = read(observed_job(), with_sidecar(sidecar=sidecar), now=LATER)
    assert attempt.exit_code == 0 and attempt.result.digest == "sha256:import" and attempt.outlived
    assert attempt.finished == NOW + timedelta(seconds=8)
    assert attempt.hang.reason == "SidecarStillRunning" and "istio-proxy" in attempt.hang.message
    assert "node n1" in attempt.hang.message


def test_a_sidecar_has_a_moment_to_end_by_itself() -> None:
    assert read(observed_job(), with_sidecar(), now=NOW + timedelta(seconds=20)).running
    assert read(observed_job(), with_sidecar(sidecar="terminated"), now=LATER).running, "the Job is about to end"


def test_a_failed_stage_beside_a_sidecar_has_failed() -> None:
    attempt = read(observed_job(), with_sidecar(code=42, message='{"reason": "X", "message": "why"}'), now=LATER)
    assert (attempt.exit_code, attempt.failure.reason, attempt.outlived) == (42, "X", True)


def test_workers_beside_sidecars_end_the_step_when_one_has_published_or_all_have_ended() -> None:
    crashed, working = with_sidecar(code=1, message=""), pod(name="b", phase="Running")
    assert read(observed_job(), crashed, working, now=LATER).running
    assert read(observed_job(), with_sidecar(), working, now=LATER).exit_code == 0
    assert read(observed_job(), crashed, with_sidecar(code=1, message="", name="b"), now=LATER).exit_code == 1


def test_a_job_that_failed_by_its_sidecar_has_the_stages_result() -> None:
    one = with_sidecar(sidecar="terminated")
    one["status"]["phase"] = "Failed"
    attempt = read(observed_job(condition=FAILED), one, now=LATER)
    assert attempt.exit_code == 0 and attempt.result is not None and not attempt.outlived


def test_a_pod_that_is_not_gone_after_its_deletion_names_node_and_both_remedies() -> None:
    lost = on_node(pod(phase="Running"), deletionTimestamp="2030-01-01T00:00:10Z")
    assert read(observed_job(), lost, now=NOW + timedelta(seconds=29)).hang is None
    hang = read(observed_job(), lost, now=NOW + timedelta(seconds=30)).hang
    assert hang.reason == "PodStuckTerminating" and "node n1" in hang.message
    assert "out-of-service=nodeshutdown:NoExecute" in hang.message


def test_a_pod_of_a_node_that_stopped_reporting_names_the_node() -> None:
    ready = [{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": "True"}]
    hang = read(observed_job(), on_node(pod(phase="Running", conditions=ready))).hang
    assert hang.reason == "NodeNotReady" and "node n1 stopped reporting" in hang.message
    assert read(observed_job(), on_node(pod(phase="Running", conditions=ready[:1]))).hang is None


def test_a_finalizer_of_another_party_is_named_with_its_removal() -> None:
    kept = on_node(
        pod(code=0, phase="Succeeded"), deletionTimestamp="2030-01-01T00:00:10Z", finalizers=["example.com/keep"]
    )
    hang = read(observed_job(), kept, now=LATER).hang
    assert hang.reason == "BlockedByFinalizer" and "example.com/keep" in hang.message
    assert "kubectl patch pod p" in hang.message
    job = observed_job()
    job["metadata"] |= {"deletionTimestamp": "2030-01-01T00:00:10Z", "finalizers": ["foregroundDeletion", "x.io/y"]}
    assert "finalizer x.io/y" in read(job, now=LATER).hang.message
    job["metadata"]["finalizers"] = ["foregroundDeletion"]
    assert read(job, now=LATER).hang is None


def cluster_run(**spec: Any) -> SelfAlignRun:
    one = run(**spec)
    return one.model_copy(update={"metadata": one.metadata.model_copy(update={"uid": "u", "generation": 1})})


SIDECAR = Failure(reason="SidecarStillRunning", message="container istio-proxy still runs")


def test_an_outlived_job_is_deleted_once_the_status_has_its_result_and_the_run_goes_on() -> None:
    simulated = SimulatedRun(cluster_run())
    simulated.reconcile()
    simulated.end(PREFLIGHT)
    simulated.change(PREFLIGHT, outlived=True, hang=SIDECAR, job="j")
    first = simulated.reconcile()
    assert not any(isinstance(action, RemoveAttempt) for action in first.actions), "the status has no result yet"
    condition = first.status.condition("Reconciling")
    assert condition is not None and condition.reason == "SidecarStillRunning"
    assert "import" in simulated.started
    assert RemoveAttempt(PREFLIGHT, 1) in simulated.reconcile().actions
    simulated.reconcile()
    assert simulated.started.count(PREFLIGHT) == 1


def test_a_retry_waits_until_the_outlived_job_is_gone() -> None:
    simulated = SimulatedRun(cluster_run())
    simulated.reconcile()
    simulated.end(PREFLIGHT)
    simulated.reconcile()
    simulated.end("import", 1)
    simulated.change("import", outlived=True, hang=SIDECAR, job="j")
    simulated.advance(60)
    simulated.reconcile()
    simulated.change("import", stopping=True)
    simulated.reconcile()
    assert simulated.started.count("import") == 1
    simulated.attempts["import"] = []
    simulated.reconcile()
    assert simulated.started.count("import") == 2


def test_all_that_hangs_at_once_is_in_one_message() -> None:
    simulated = SimulatedRun(cluster_run())
    simulated.reconcile()
    simulated.end(PREFLIGHT)
    simulated.reconcile()
    simulated.change("import", pending=Failure(reason="InvalidImageName", message="container a"))
    simulated.change(PREFLIGHT, hang=Failure(reason="PodStuckTerminating", message="node n1"))
    condition = simulated.plan().status.condition("Reconciling")
    assert condition is not None and condition.reason == "InvalidImageName"
    assert condition.message == "import: container a\npreflight: node n1"


def test_a_preflight_whose_pod_is_gone_is_not_retried_while_its_answer_is_recorded() -> None:
    simulated = SimulatedRun(cluster_run(retries={"perStage": 0}))
    simulated.reconcile()
    simulated.end(PREFLIGHT)
    simulated.reconcile()
    simulated.change(PREFLIGHT, result=None)
    planned = simulated.reconcile()
    condition = planned.status.condition("Reconciling")
    assert condition is not None and (condition.status, condition.reason) == ("True", "Import")
    assert simulated.started.count(PREFLIGHT) == 1 and not planned.finished


CRASHING = {"pending": Failure(reason="CrashLoopBackOff", message="proxy crashes")}
EVICTED = {"disruption": Failure(reason="Evicted", message="low on disk"), "disruptions": 1}


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        (CRASHING, True),
        (EVICTED, True),
        (EVICTED | {"working_since": NOW}, False),
        (EVICTED | {"working_since": NOW, "disruptions": 2}, True),
    ],
    ids=["sidecar crashes", "evicted", "evicted once, works again", "evicted twice"],
)
def test_an_edit_starts_a_step_again_whose_job_repeats_the_same_for_ever(changes: dict[str, Any], again: bool) -> None:
    simulated = SimulatedRun(cluster_run())
    simulated.reconcile()
    simulated.end(PREFLIGHT)
    simulated.reconcile()
    simulated.change("import", generation=1, **changes)
    simulated.reconcile()
    assert not simulated.attempts["import"][-1].stopping
    metadata = simulated.run.metadata.model_copy(update={"generation": 2})
    simulated.run = simulated.run.model_copy(update={"metadata": metadata})
    simulated.reconcile()
    assert simulated.attempts["import"][-1].stopping is again


def test_an_init_container_that_fails_in_one_of_several_workers_is_said_while_the_job_goes_on() -> None:
    attempt = read(observed_job(), init_failed(), pod(name="b", phase="Running"))
    assert attempt.running and attempt.disruption.reason == "InitContainerFailed"


def test_the_last_eviction_explains_a_step_that_was_interrupted_too_often() -> None:
    simulated = SimulatedRun(cluster_run(retries={"preemptions": 0}))
    simulated.reconcile()
    simulated.end(PREFLIGHT)
    simulated.reconcile()
    simulated.end("import", 75)
    simulated.change("import", disruption=Failure(reason="Evicted", message="low on disk"))
    condition = simulated.reconcile().status.condition("Stalled")
    assert condition is not None and condition.reason == "TooManyPreemptions" and "low on disk" in condition.message


def test_a_complete_job_has_no_hang() -> None:
    assert (
        read(observed_job(condition=COMPLETE), pod(code=0, message=PUBLISHED, phase="Succeeded"), now=LATER).hang
        is None
    )
