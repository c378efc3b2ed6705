"""Plays the kubelet for tests of the operator alone: pods of Jobs run and end as a script says, without containers.

What the stages publish is made up; everything between operator and API server is real.
"""

import json
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kubernetes import client, config
from tests.cluster.control_plane import Cluster

from selfalign_operator.jobs.identity import SELECTOR, STEP
from selfalign_operator.planning import graph
from selfalign_stages.contract.task import PreflightResult, PreflightTask, Result, Task
from selfalign_stages.contract.termination_message import encode

Ending = tuple[int, str]
"""Exit code and termination message."""
Script = Callable[[str, dict[str, Any]], Ending | None]
"""From step id and pod to how the pod ends; None leaves it running."""


@dataclass
class PretendNode:
    """`script` decides; `ended` are the steps whose pods ended, in order; pods of steps outside `only` have no node."""

    api: client.CoreV1Api
    script: Script
    ended: list[str] = field(default_factory=list)
    only: frozenset[str] | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        """Until stopped."""
        while not self._stop.wait(0.1):
            for pod in self._pods():
                self._turn(pod)

    def stop(self) -> None:
        """Ends the loop."""
        self._stop.set()

    def _pods(self) -> list[dict[str, Any]]:
        answer = self.api.list_pod_for_all_namespaces(label_selector=SELECTOR, _preload_content=False)
        items: list[dict[str, Any]] = json.loads(answer.data)["items"]
        return items

    def _turn(self, pod: dict[str, Any]) -> None:
        metadata, phase = pod["metadata"], pod.get("status", {}).get("phase")
        if phase in ("Succeeded", "Failed"):
            return
        if metadata.get("deletionTimestamp"):
            self._end(pod, (143, ""))
            self._forget(pod)
            return
        step = metadata["labels"][STEP]
        if self.only is not None and step not in self.only:
            return
        ending = self.script(step, pod)
        if ending is not None:
            self._end(pod, ending)
            self.ended.append(step)
        elif phase != "Running":
            self._patch(pod, {"phase": "Running", "startTime": _now()})

    def _end(self, pod: dict[str, Any], ending: Ending) -> None:
        code, message = ending
        ended = {"exitCode": code, "message": message, "startedAt": _now(), "finishedAt": _now()}
        container = {"name": "stage", "image": "x", "imageID": "x", "ready": False, "restartCount": 0}
        status = {
            "phase": "Failed" if code else "Succeeded",
            "startTime": _now(),
            "containerStatuses": [container | {"state": {"terminated": ended}}],
        }
        self._patch(pod, status)

    def _patch(self, pod: dict[str, Any], status: dict[str, Any]) -> None:
        metadata = pod["metadata"]
        try:
            self.api.patch_namespaced_pod_status(metadata["name"], metadata["namespace"], {"status": status})
        except client.ApiException as error:
            if error.status not in (404, 409):
                raise

    def _forget(self, pod: dict[str, Any]) -> None:
        """What a kubelet does last with a pod that was deleted."""
        metadata = pod["metadata"]
        try:
            self.api.delete_namespaced_pod(metadata["name"], metadata["namespace"], grace_period_seconds=0)
        except client.ApiException as error:
            if error.status != 404:
                raise


@contextmanager
def pretend_node(cluster: Cluster, script: Script, *, only: Collection[str] | None = None) -> Iterator[PretendNode]:
    """Runs beside the test; with `only`, for pods of these steps alone, as if no node had room for the others."""
    api = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    node = PretendNode(api, script, only=frozenset(only) if only is not None else None)
    thread = threading.Thread(target=node.work, daemon=True)
    thread.start()
    try:
        yield node
    finally:
        node.stop()
        thread.join(10)


def publish(step: str, pod: dict[str, Any]) -> Ending:
    """Every step ends well at once, with a result that fits its task."""
    environment = {entry["name"]: entry.get("value", "") for entry in pod["spec"]["containers"][0]["env"]}
    told = environment["SELFALIGN_TASK"]
    if step == "preflight":
        leaves = {name: f"sha256:{name}" for name in PreflightTask.model_validate_json(told).leaves}
        return 0, encode(PreflightResult(leaves=leaves | _mounted_pack(pod))).decode()
    task = Task.model_validate_json(told)
    metrics: dict[str, dict[str, Any]] = {
        "evaluation-gate": {"passed": True, "failedGates": "", "base.hhh.overall": 0.5},
        "packaging-push": {"image": "reg.test/ida@sha256:abc", "digest": "sha256:abc", "size": 7},
    }
    made = Result(key=task.key, cache="Miss", digest=f"sha256:{task.key}", metrics=metrics.get(step, {}))
    return 0, made.model_dump_json(by_alias=True)


def _mounted_pack(pod: dict[str, Any]) -> dict[str, str]:
    """Another content is another ConfigMap, and so another digest."""
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    if "pack" not in volumes:
        return {}
    digest = f"sha256:{volumes['pack']['configMap']['name']}"
    return dict.fromkeys(graph.PACK_LEAVES, digest)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
