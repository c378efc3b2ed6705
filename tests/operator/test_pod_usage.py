"""Pods count GPU time while they have GPUs: not while they wait, not if they are rejected, and by one clock."""

from datetime import timedelta
from typing import Any

import pytest
from tests.operator.builders import NOW, run, simulated_after
from tests.operator.test_job_status import observed_job, read
from tests.operator.test_jobs import job_for
from tests.operator.test_usage import at, device_seconds, pod, preemptions, reconcile_with

from selfalign_operator.api.devices import GPU_RESOURCES, gpus
from selfalign_operator.jobs import pod_usage
from selfalign_operator.manifest.loading import load
from selfalign_operator.planning.observation import Pod

LIMITS = {"nvidia.com/gpu": "8"}


def time(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def running(start: int) -> dict[str, Any]:
    return {"running": {"startedAt": time(start)}}


def ended(start: int, end: int) -> dict[str, Any]:
    return {"terminated": {"exitCode": 0, "startedAt": time(start), "finishedAt": time(end)}}


WAITING = {"waiting": {"reason": "ImagePullBackOff"}}


def api_pod(*, limits: dict[str, str] = LIMITS, written: int | None = None, **status: Any) -> dict[str, Any]:
    """A pod as the API server returns it; `written` is when it stored the kubelet's status."""
    fields: dict[str, Any] = {"fieldsV1": {"f:status": {"f:containerStatuses": {}}}}
    managed = [] if written is None else [{"manager": "kubelet", "time": time(written)} | fields]
    return {
        "metadata": {"name": "p", "uid": "u-p", "creationTimestamp": time(0), "managedFields": managed},
        "spec": {"containers": [{"name": "stage", "resources": {"limits": limits}}]},
        "status": {"startTime": time(5)} | status,
    }


def stage(state: dict[str, Any]) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "stage", "state": state}]}


def hours(one: dict[str, Any], *, later: float = 36_000) -> float:
    """GPU hours that a run with this pod alone has after some seconds."""
    simulated = simulated_after()
    observed = read(observed_job(), one).pods
    return device_seconds(reconcile_with(simulated, later, *observed)) / 3600


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Failed", "reason": "UnexpectedAdmissionError"},
        {"phase": "Failed", "reason": "OutOfnvidia.com/gpu", "containerStatuses": []},
        {"phase": "Failed", "reason": "Evicted", **stage(WAITING)},
        {"phase": "Pending", **stage(WAITING)},
        {"phase": "Pending"},
        {"startTime": None, "phase": "Pending"},
    ],
)
def test_a_pod_that_never_ran_a_container_counts_no_gpu_time(status: dict[str, Any]) -> None:
    assert hours(api_pod(**status)) == 0


def test_a_pod_counts_from_the_first_start_of_a_container_to_the_last_end() -> None:
    ran = api_pod(phase="Succeeded", **stage(ended(3600, 7200)))
    assert hours(ran) == 8
    with_init = ran | {"status": ran["status"] | {"initContainerStatuses": [{"name": "i", "state": ended(1800, 3600)}]}}
    assert hours(with_init) == 12
    sidecar = {"name": "proxy", "state": running(3600)}
    kept: dict[str, Any] = {
        "phase": "Running",
        "containerStatuses": [*stage(ended(3600, 7200))["containerStatuses"], sidecar],
    }
    assert hours(api_pod(**kept), later=10_800) == 16, "a sidecar keeps the pod, and the pod keeps its GPUs"


def test_a_running_pod_counts_until_now() -> None:
    assert hours(api_pod(phase="Running", **stage(running(3600))), later=7200) == 8
    assert hours(api_pod(phase="Running"), later=3605) == 8, "without container statuses, from the pod's start"


def test_a_pod_that_the_control_plane_failed_because_its_node_is_lost_ends_with_its_newest_condition() -> None:
    condition = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": time(7200)}
    lost = api_pod(phase="Failed", conditions=[condition, {"type": "Ready", "status": "False"}], **stage(running(3600)))
    assert hours(lost) == 8


@pytest.mark.parametrize("behind", [0, 60, 600])
def test_an_operator_whose_clock_is_behind_counts_each_second_once(behind: int) -> None:
    simulated = simulated_after()
    pods: list[Pod] = []
    for number in range(20):
        start, end = 720 * number, 720 * number + 720
        reconcile_with(simulated, start + 300 - behind, *pods, pod(start))
        pods.append(pod(start, end))
        reconcile_with(simulated, end - behind, *pods)
    assert device_seconds(simulated) / 3600 == 4


@pytest.mark.parametrize("ahead", [-3600, -60, 0, 60, 3600])
def test_a_pod_counts_alike_whatever_the_clock_of_its_node_shows(ahead: int) -> None:
    finished = api_pod(written=7201, phase="Succeeded", **stage(ended(3600 + ahead, 7200 + ahead)))
    began, end = pod_usage.interval(finished, stage="stage")
    assert began is not None and end is not None and (end - began).total_seconds() == 3600
    assert abs((end - at(7200)).total_seconds()) <= 1
    assert hours(api_pod(written=3601, phase="Running", **stage(running(3600 + ahead))), later=7200) == pytest.approx(
        8, abs=0.01
    )


def test_no_duration_is_negative() -> None:
    began, end = pod_usage.interval(api_pod(phase="Failed", **stage(ended(100, 50))), stage="stage")
    assert began == end == at(100)
    assert hours(api_pod(phase="Running", **stage(running(7200))), later=3600) == 0


@pytest.mark.parametrize(
    ("limits", "count"),
    [
        ({"nvidia.com/gpu": "2", "vpc.amazonaws.com/efa": "32", "rdma/hca": "1"}, 2),
        ({"nvidia.com/gpu": "1", "nvidia.com/gpumem": "3000", "nvidia.com/gpucores": "100"}, 1),
        ({"nvidia.com/mig-1g.5gb": "3", "hugepages-2Mi": "1Gi", "cpu": "8"}, 3),
        ({"gpu.intel.com/xe": "1", "gpu.intel.com/xe_monitoring": "1", "gpu.intel.com/memory.max": "16G"}, 1),
        ({"amd.com/gpu": "1k"}, 1000),
        ({"nvidia.com/gpu": "1e1", "habana.ai/gaudi": "1Ki"}, 1034),
        ({"nvidia.com/gpu": "1500m", "example.com/gpu": "4"}, 1),
    ],
)
def test_listed_resources_alone_are_gpus(limits: dict[str, str], count: int) -> None:
    assert gpus(limits) == pod_usage.gpu_count(api_pod(limits=limits)) == count


def test_init_containers_use_the_gpus_of_the_others_before_them() -> None:
    def one(count: int, **more: str) -> dict[str, Any]:
        return {"resources": {"limits": {"nvidia.com/gpu": str(count)}}} | more

    spec = {"containers": [one(2), one(1)], "initContainers": [one(4), one(1, restartPolicy="Always")]}
    assert pod_usage.gpu_count({"spec": spec}) == 4
    assert pod_usage.gpu_count({"spec": spec}, names=("example.com/*",)) == 0


@pytest.mark.parametrize("size", ["1.5", "500m", ".5", "1e-1", "0.0", "1n"])
def test_a_part_of_a_device_is_refused_and_a_whole_one_is_accepted(size: str) -> None:
    def loaded(value: str) -> Any:
        text = "apiVersion: selfalign.dev/v1alpha1\nkind: SelfAlignRun\nmetadata: {name: trial}\nspec:\n"
        text += '  baseModel: {uri: "builtin://hamlet"}\n'
        return load(text + f'  stages: {{selfAlign: {{resources: {{limits: {{nvidia.com/gpu: "{value}"}}}}}}}}\n')

    (problem,) = loaded(size)
    assert problem.field.startswith("spec.stages.selfAlign.resources.limits")
    assert size in problem.message and "such as 1" in problem.message
    assert not isinstance(loaded("1"), list)


def answers_container(**limits: Any) -> dict[str, Any]:
    of = run(artifacts={"uri": "s3://runs/a"}, stages={"selfAlign": {"resources": {"limits": limits}}})
    container: dict[str, Any] = job_for(of, "selfalign-answers")["spec"]["template"]["spec"]["containers"][0]
    return container


@pytest.mark.parametrize("size", [1, "1", "1k", "1Ki", "1e3", "8"])
def test_every_whole_number_of_gpus_reaches_the_job(size: Any) -> None:
    container = answers_container(**{"nvidia.com/gpu": size, "cpu": 4})
    assert container["resources"]["limits"]["nvidia.com/gpu"] == str(size)
    assert "OMP_NUM_THREADS" not in {one["name"] for one in container["env"]}


def test_a_container_with_other_devices_than_gpus_has_as_many_threads_as_cpus() -> None:
    container = answers_container(**{"rdma/hca": 1, "cpu": "3500m"})
    (threads,) = (one for one in container["env"] if one["name"] == "OMP_NUM_THREADS")
    assert threads["valueFrom"]["resourceFieldRef"]["resource"] == "limits.cpu"


def test_two_preemptions_within_one_second_count_both() -> None:
    def second(uid: str, start: int, *, preempted: bool = True) -> Pod:
        return Pod(created=at(start), started=at(start), uid=uid, outcome="preempted" if preempted else "active")

    together = simulated_after()
    reconcile_with(together, 10, second("a", 5), second("b", 5))
    reconcile_with(together, 11, second("a", 5), second("b", 5), second("c", 6, preempted=False))
    assert preemptions(together) == 2
    apart = simulated_after()
    reconcile_with(apart, 10, second("a", 5))
    reconcile_with(apart, 11, second("b", 5))
    reconcile_with(apart, 12, second("b", 5))
    reconcile_with(apart, 13, second("c", 5, preempted=False))
    assert preemptions(apart) == 2


def test_the_list_of_gpus_is_the_charts_default() -> None:
    from selfalign_operator.cluster.settings import Settings

    images = {f"SELFALIGN_IMAGE_{name}": "x" for name in ("CPU", "GENERATE", "TRAIN")}
    assert Settings.from_environment(images).images.gpu_resources == GPU_RESOURCES
    listed = Settings.from_environment(images | {"SELFALIGN_GPU_RESOURCES": "example.com/a,example.com/b-*"})
    assert listed.images.gpu_resources == ("example.com/a", "example.com/b-*")
