"""A sharded run on the real node whose workers and operators are killed while it works."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.cluster.control_plane import wait_for
from tests.cluster.namespace import Namespace
from tests.cluster.node import NAME, kill
from tests.e2e.cluster.site import OPERATORS, Site
from tests.e2e.conftest import SMALL
from tests.scale import FULL, scaled

from selfalign_operator.jobs.identity import STEP
from selfalign_operator.manifest import overrides

DEVICE, DEVICES = "nvidia.com/gpu", 4
WORKERS, KILLS = scaled(2, 4), scaled(3, 10)
ANY_USER = 1_234_567
"""A user id that no image contains."""
ANSWERS = "selfalign-answers"
RUN = "sharded" if FULL else "quickstart"


@dataclass(frozen=True)
class Disturbed:
    """Where the run is, and how many operators were killed."""

    namespace: Namespace
    kills: int


@contextmanager
def devices(site: Site) -> Iterator[None]:
    """A node that advertises GPUs, as a device plugin would."""
    path = f"/status/capacity/{DEVICE.replace('/', '~1')}"
    patch = ("patch", "node", NAME, "--subresource=status", "--type=json", "-p")
    site.cluster.kubectl(*patch, f'[{{"op": "add", "path": "{path}", "value": "{DEVICES}"}}]')
    allocatable = ("get", "node", NAME, "-o", "jsonpath={.status.allocatable}")
    wait_for("the GPUs can be had", lambda: DEVICE in site.cluster.kubectl(*allocatable))
    yield
    site.cluster.kubectl(*patch, f'[{{"op": "remove", "path": "{path}"}}]')


def run_disturbed(site: Site) -> Disturbed:
    """Applies the run, kills two of its workers and KILLS operators at random moments, and waits until it is Ready."""
    namespace = site.namespace(RUN)
    namespace.apply(RUN, **_sharded(namespace, site))
    random, kills, lost_workers = Random(20230504), 0, False
    while kills < KILLS or not lost_workers:
        wait_for("an operator leads", lambda: site.leader() in site.operators(), seconds=300)
        time.sleep(random.uniform(0, 4))  # any moment will do: this is the disturbance, not a wait
        if not lost_workers and len(running := _workers(namespace)) >= 2:
            first = running[0]["metadata"]["name"]
            namespace.cluster.kubectl("-n", namespace.name, "delete", "pod", first, "--wait=false")
            kill(site.cluster, running[1])
            lost_workers = True
        if kills < KILLS:
            site.cluster.kubectl("-n", OPERATORS, "delete", "pod", "--all", "--force", "--grace-period=0")
            kills += 1
    namespace.wait("Ready", "True", name=RUN, seconds=1500)
    return Disturbed(namespace, kills)


def _sharded(namespace: Namespace, site: Site) -> dict[str, Any]:
    """The small run of the end-to-end tests with GPU workers for the answers; in full runs with a store of its own."""
    manifest = namespace.manifest(RUN)
    for name, value in SMALL.items():
        assert overrides.apply(manifest, f"{name}={value}") is None
    spec: dict[str, Any] = manifest["spec"]
    one_device = {"limits": {DEVICE: 1}}
    spec["stages"]["selfAlign"] |= {"workers": WORKERS, "resources": one_device}
    spec["stages"]["engraving"] |= {"resources": one_device}
    spec["podDefaults"] = {"template": {"spec": {"securityContext": {"runAsUser": ANY_USER}}}}
    if FULL:
        spec["artifacts"]["uri"] = "s3://runs/sharded"
        spec["image"]["repository"] = f"{site.registry.host}/assistants/sharded"
    return spec


def _workers(namespace: Namespace) -> list[dict[str, Any]]:
    pods = namespace.get("pods", "-l", f"{STEP}={ANSWERS}")["items"]
    return [pod for pod in pods if pod["status"].get("phase") == "Running"]
