"""Builds the pod of one attempt, before the user's templates are applied. Pure.

It satisfies the Pod Security Standard `restricted` and has a read-only root file system, so that a run works in a
namespace that enforces it without any template. The task travels in an environment variable: a ConfigMap per attempt
would be a second object to create, own and clean up.
"""

import math
from dataclasses import dataclass
from typing import Any

from selfalign_operator.api.quantity import parse_quantity
from selfalign_operator.api.resources import gpus
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.jobs.resolved_placement import ResolvedPlacement
from selfalign_operator.planning.store_location import BASE_MODEL_FOLDER, base_claim, pack_folder
from selfalign_stages.contract import credentials

CONTAINER = "stage"
"""Name of the container; templates and podFailurePolicy refer to it."""
PORT = 8080
"""Port of /progress and /metrics in a stage pod."""
DOCKER_FOLDER = "/etc/selfalign/docker"
"""Value of DOCKER_CONFIG: the folder with the registry credentials, in config.json."""
SCRATCH, TEMPORARY, SHARED_MEMORY = "/scratch", "/tmp", "/dev/shm"
"""Writable mount paths. The runtime's default /dev/shm has 64 MiB, too few for tensor parallelism in vLLM."""
ALL_INTERFACES = "::"
"""Value of --host: IPv4 and IPv6, so that kubelet, Prometheus and operator reach the pod in a cluster of either."""
BASE_PREFIX = "BASE_MODEL_"
"""Prefix of the variables from spec.baseModel.secretRef: S3 keys of the base model's bucket must not replace those of
the artifact store, which have the same names."""


@dataclass(frozen=True)
class PodContents:
    """What a pod runs and what it may read.

    Attributes:
        arguments: of the stage program; its subcommand.
        task: the task as JSON.
        grace_seconds: terminationGracePeriodSeconds.
        pack: name of the ConfigMap to mount as the principle pack; None mounts none.
        base: whether to add the base model's credentials, and mount them and its volume claim.
        push: whether to mount the registry's credentials.
    """

    arguments: tuple[str, ...]
    task: str
    grace_seconds: int
    pack: str | None = None
    base: bool = False
    push: bool = False


def pod_spec(
    run: SelfAlignRun, placement: ResolvedPlacement, contents: PodContents, *, image: str, pull_policy: str
) -> dict[str, Any]:
    """Builds the PodSpec.

    Args:
        run: the run, for the Secrets and claims that it names.
        placement: resources of the container.
        contents: what the pod runs and mounts.
        image: image reference of the container.
        pull_policy: its imagePullPolicy.
    """
    mounts, volumes = _volumes(run, contents)
    environment = _environment(contents) | _threads(placement)
    container = {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": pull_policy,
        "args": [*contents.arguments, "--host", ALL_INTERFACES, "--port", str(PORT), "--scratch", SCRATCH],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "envFrom": _credentials(run, contents),
        "ports": [{"name": "metrics", "containerPort": PORT}],
        "resources": placement.resources,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # A process that was killed writes no termination message; the end of its log then explains more than nothing.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }
    spec: dict[str, Any] = {
        # Required by podFailurePolicy (batch/v1).
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": contents.grace_seconds,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{name: value for name, value in container.items() if value not in ([], {})}],
        "volumes": volumes,
    }
    account = run.spec.pod_defaults.service_account_name
    return spec | ({"serviceAccountName": account} if account else {})


def _environment(contents: PodContents) -> dict[str, str]:
    # The pod may run under any uid: libraries that resolve home directory or user name would fail without an entry in
    # /etc/passwd, and write nothing but to HOME and TMPDIR.
    values = {"SELFALIGN_TASK": contents.task, "HOME": TEMPORARY, "USER": "selfalign", "TMPDIR": TEMPORARY}
    if contents.push:
        values["DOCKER_CONFIG"] = DOCKER_FOLDER
    return values


def _threads(placement: ResolvedPlacement) -> dict[str, str]:
    """As many OpenMP threads as the CPU limit: PyTorch starts one per CPU of the node, which the limit then throttles.

    Beside a GPU the variable stays unset, and vLLM and torchrun choose their own number.
    """
    limits = placement.resources.get("limits", {})
    if "cpu" not in limits or gpus(limits):
        return {}
    return {"OMP_NUM_THREADS": str(math.ceil(parse_quantity(limits["cpu"])))}


def _secrets(run: SelfAlignRun, contents: PodContents) -> dict[str, str]:
    """Names of the Secrets with credentials for storage, by the folder that they are mounted in."""
    references = {credentials.ARTIFACTS: run.spec.artifacts.secret_ref if run.spec.artifacts else None}
    if contents.base:
        references[credentials.BASE_MODEL] = run.spec.base_model.secret_ref
    return {folder: reference.name for folder, reference in references.items() if reference is not None}


def _credentials(run: SelfAlignRun, contents: PodContents) -> list[dict[str, Any]]:
    """Sources of environment variables. The kubelet resolves the Secrets: the operator needs no right to read any."""
    prefixes = {credentials.BASE_MODEL: {"prefix": BASE_PREFIX}}
    return [
        prefixes.get(folder, {}) | {"secretRef": {"name": name}} for folder, name in _secrets(run, contents).items()
    ]


def _volumes(run: SelfAlignRun, contents: PodContents) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volume mounts and volumes of the pod, in the same order."""
    mounts: list[dict[str, Any]] = []
    volumes: list[dict[str, Any]] = []

    def add(name: str, path: str, source: dict[str, Any], *, read_only: bool = True) -> None:
        mounts.append({"name": name, "mountPath": path} | ({"readOnly": True} if read_only else {}))
        volumes.append({"name": name, **source})

    add("scratch", SCRATCH, {"emptyDir": {}}, read_only=False)
    add("tmp", TEMPORARY, {"emptyDir": {}}, read_only=False)
    add("shm", SHARED_MEMORY, {"emptyDir": {"medium": "Memory"}}, read_only=False)
    if contents.pack:
        add("pack", pack_folder(run), {"configMap": {"name": contents.pack}})
    if contents.base and (claim := base_claim(run)):
        add("base-model", BASE_MODEL_FOLDER, {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
    if contents.push and (secret := run.spec.image.push_secret_ref):
        items = [{"key": ".dockerconfigjson", "path": "config.json"}]
        add("docker", DOCKER_FOLDER, {"secret": {"secretName": secret.name, "items": items}})
    for folder, name in _secrets(run, contents).items():
        # The same Secrets as in the environment, where they stay as they were when the container started. Optional:
        # the environment requires a missing one already, and the pod's status says so (CreateContainerConfigError),
        # while a volume that cannot be mounted shows only in the kubelet's Events.
        source = {"secret": {"secretName": name, "optional": True}}
        add(f"{folder}-credentials", str(credentials.FOLDER / folder), source)
    return mounts, volumes
