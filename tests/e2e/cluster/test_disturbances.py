"""Workers are deleted and killed, the operator is killed ten times: the artifacts are those of an undisturbed run.

The undisturbed run is the one on this machine without a cluster, with the same settings and one worker.
"""

import time
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from tests.cluster.control_plane import wait_for
from tests.cluster.namespace import Namespace
from tests.cluster.node import NAME, kill
from tests.e2e.cluster.site import OPERATORS, Site
from tests.e2e.conftest import SMALL, Workdir, steps

from selfalign_operator.jobs.identity import STEP
from selfalign_operator.manifest import overrides

pytestmark = pytest.mark.slow

DEVICE, DEVICES = "nvidia.com/gpu", 4
WORKERS, KILLS = 4, 10
ANY_USER = 1_234_567
"""Nobody that the images know."""
ANSWERS = "selfalign-answers"
COMPARED = ("redteaming-topics", "redteaming-prompts", ANSWERS, "engraving-train", "cloning-answers", "cloning-train")
CPU_STEPS = {"preflight", "import", "redteaming-prompts", "evaluation-gate", "packaging-image", "packaging-push"}


@pytest.fixture
def devices(site: Site) -> Iterator[None]:
    """A node that advertises GPUs, as a device plugin would."""
    path = f"/status/capacity/{DEVICE.replace('/', '~1')}"
    patch = ("patch", "node", NAME, "--subresource=status", "--type=json", "-p")
    site.cluster.kubectl(*patch, f'[{{"op": "add", "path": "{path}", "value": "{DEVICES}"}}]')
    allocatable = ("get", "node", NAME, "-o", "jsonpath={.status.allocatable}")
    wait_for("the GPUs can be had", lambda: DEVICE in site.cluster.kubectl(*allocatable))
    yield
    site.cluster.kubectl(*patch, f'[{{"op": "remove", "path": "{path}"}}]')


def sharded(namespace: Namespace, site: Site) -> dict[str, Any]:
    """The small run of the end-to-end tests, with four GPU workers for the answers and a store of its own."""
    manifest = namespace.manifest("sharded")
    one_device = {"limits": {DEVICE: 1}}
    for name, value in SMALL.items():
        assert overrides.apply(manifest, f"{name}={value}") is None
    spec: dict[str, Any] = manifest["spec"]
    spec["artifacts"]["uri"] = "s3://runs/sharded"
    spec["stages"]["selfAlign"] |= {"workers": WORKERS, "resources": one_device}
    spec["stages"]["engraving"] |= {"resources": one_device}
    spec["podDefaults"] = {"template": {"spec": {"securityContext": {"runAsUser": ANY_USER}}}}
    spec["image"]["repository"] = f"{site.registry.host}/assistants/sharded"
    return spec


def test_disturbed_workers_and_operators_leave_the_same_artifacts(
    site: Site, namespace: Namespace, devices: None, finished: tuple[Workdir, dict[str, Any]]
) -> None:
    namespace.apply("sharded", **sharded(namespace, site))
    random, kills = Random(20230504), 0
    lost_workers = False
    while kills < KILLS or not lost_workers:
        wait_for("an operator leads", lambda: site.leader() in site.operators(), seconds=120)
        time.sleep(random.uniform(0, 4))  # any moment will do: this is the disturbance, not a wait
        if not lost_workers and len(running := _workers(namespace)) >= 2:
            namespace.cluster.kubectl(
                "-n", namespace.name, "delete", "pod", running[0]["metadata"]["name"], "--wait=false"
            )
            kill(site.cluster, running[1])
            lost_workers = True
        if kills < KILLS:
            site.cluster.kubectl("-n", OPERATORS, "delete", "pod", "--all", "--force", "--grace-period=0")
            kills += 1
    namespace.wait("Ready", "True", name="sharded", seconds=1200)
    expected, found = steps(finished[1]), steps(namespace.status("sharded"))
    for name in COMPARED:
        assert found[name]["digest"] == expected[name]["digest"], name
    created = Counter(job["metadata"]["labels"][STEP] for job in namespace.jobs())
    assert set(created.values()) == {1}, created
    _assert_only_gpu_steps_held_gpus(namespace)


def _assert_only_gpu_steps_held_gpus(namespace: Namespace) -> None:
    asked: dict[str, set[str]] = {}
    for pod in namespace.get("pods")["items"]:
        limits = pod["spec"]["containers"][0]["resources"].get("limits", {})
        asked.setdefault(pod["metadata"]["labels"][STEP], set()).add(limits.get(DEVICE, "0"))
    assert asked[ANSWERS] == {"1"} and asked["engraving-train"] == {"1"}
    assert all(asked[step] == {"0"} for step in CPU_STEPS)
    assert float(namespace.status("sharded")["gpuHours"]) > 0


def _workers(namespace: Namespace) -> list[dict[str, Any]]:
    pods = namespace.get("pods", "-l", f"{STEP}={ANSWERS}")["items"]
    return [pod for pod in pods if pod["status"].get("phase") == "Running"]
