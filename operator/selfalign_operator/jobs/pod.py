"""The pod of one attempt, before overlays: it passes Pod Security `restricted` with a read-only root. Pure."""

import math
from dataclasses import dataclass
from typing import Any

from selfalign_operator.api.quantity import parse_quantity
from selfalign_operator.api.resources import gpus
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.jobs.resolved_placement import ResolvedPlacement
from selfalign_operator.planning.store_location import BASE_MODEL_FOLDER, base_claim, pack_folder

CONTAINER = "stage"
PORT = 8080
DOCKER_FOLDER = "/etc/selfalign/docker"
SCRATCH, TEMPORARY, SHARED_MEMORY = "/scratch", "/tmp", "/dev/shm"
BASE_PREFIX = "BASE_MODEL_"
"""Before the names in spec.baseModel.secretRef: its S3 credentials are not those of the store."""


@dataclass(frozen=True)
class PodContents:
    """What the pod runs and what it may read: `base` and `pack` mount leaves, `push` the registry's credentials."""

    arguments: tuple[str, ...]
    task: str
    pack: str | None = None
    base: bool = False
    push: bool = False
    grace_seconds: int = 120


def template(
    run: SelfAlignRun, placed: ResolvedPlacement, content: PodContents, *, image: str, pull_policy: str
) -> dict[str, Any]:
    """The pod template's spec."""
    mounts, volumes = _volumes(run, content)
    container = {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": pull_policy,
        "args": [*content.arguments, "--host", "0.0.0.0", "--port", str(PORT), "--scratch", SCRATCH],
        "env": [{"name": name, "value": value} for name, value in (_environment(content) | _threads(placed)).items()],
        "envFrom": _credentials(run, content),
        "ports": [{"name": "metrics", "containerPort": PORT}],
        "resources": placed.resources,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": content.grace_seconds,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{name: value for name, value in container.items() if value not in ([], {})}],
        "volumes": volumes,
    }
    account = run.spec.pod_defaults.service_account_name
    return spec | ({"serviceAccountName": account} if account else {})


def _environment(content: PodContents) -> dict[str, str]:
    values = {"SELFALIGN_TASK": content.task, "HOME": TEMPORARY, "USER": "selfalign", "TMPDIR": TEMPORARY}
    if content.push:
        values["DOCKER_CONFIG"] = DOCKER_FOLDER
    return values


def _threads(placed: ResolvedPlacement) -> dict[str, str]:
    """As many threads as the limit gives CPUs: torch would start one for each of the node's, to be throttled.

    Beside a GPU vLLM and torchrun decide better, and do so if nothing is set.
    """
    limits = placed.resources.get("limits", {})
    if "cpu" not in limits or gpus(limits):
        return {}
    return {"OMP_NUM_THREADS": str(math.ceil(parse_quantity(limits["cpu"])))}


def _credentials(run: SelfAlignRun, content: PodContents) -> list[dict[str, Any]]:
    """Pods mount Secrets themselves, so that the operator needs no right to read any."""
    store = run.spec.artifacts.secret_ref if run.spec.artifacts else None
    found: list[dict[str, Any]] = [{"secretRef": {"name": store.name}}] if store else []
    if content.base and (source := run.spec.base_model.secret_ref):
        found.append({"prefix": BASE_PREFIX, "secretRef": {"name": source.name}})
    return found


def _volumes(run: SelfAlignRun, content: PodContents) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    mounts: list[dict[str, Any]] = []
    volumes: list[dict[str, Any]] = []

    def add(name: str, path: str, source: dict[str, Any], *, read_only: bool = True) -> None:
        mounts.append({"name": name, "mountPath": path} | ({"readOnly": True} if read_only else {}))
        volumes.append({"name": name, **source})

    add("scratch", SCRATCH, {"emptyDir": {}}, read_only=False)
    add("tmp", TEMPORARY, {"emptyDir": {}}, read_only=False)
    add("shm", SHARED_MEMORY, {"emptyDir": {"medium": "Memory"}}, read_only=False)
    if content.pack:
        add("pack", pack_folder(run), {"configMap": {"name": content.pack}})
    if content.base and (claim := base_claim(run)):
        add("base-model", BASE_MODEL_FOLDER, {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
    if content.push and (secret := run.spec.image.push_secret_ref):
        items = [{"key": ".dockerconfigjson", "path": "config.json"}]
        add("docker", DOCKER_FOLDER, {"secret": {"secretName": secret.name, "items": items}})
    return mounts, volumes
