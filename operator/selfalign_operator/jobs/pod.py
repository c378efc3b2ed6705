"""Builds the pod of one attempt, before the user's templates are applied. Pure.

It satisfies the Pod Security Standard `restricted` and has a read-only root file system, so that a run works in a
namespace that enforces it without any template. The task travels in an environment variable: a ConfigMap per attempt
would be a second object to create, own and clean up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfalign_operator.api.devices import GPU_RESOURCES
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.jobs.resolved_placement import ResolvedPlacement
from selfalign_operator.jobs.threads import threads
from selfalign_operator.planning import graph
from selfalign_operator.planning.store_location import BASE_MODEL_FOLDER, base_claim, pack_folder
from selfalign_stages.contract import credentials
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.task import LOG_VARIABLE, TASK_VARIABLE

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


@dataclass(frozen=True)
class PodContents:
    """What a pod runs and what it may read.

    Attributes:
        arguments: of the stage program; its subcommand.
        task: the task as JSON.
        grace_seconds: terminationGracePeriodSeconds.
        log: name of its log in the artifact store, without suffix.
        leaves: names of the leaves that it reads; it gets the Secrets that belong to them.
        pack: name of the ConfigMap to mount as the principle pack; None mounts none.
        push: whether to mount the registry's credentials.
    """

    arguments: tuple[str, ...]
    task: str
    grace_seconds: int
    log: str
    leaves: tuple[str, ...] = ()
    pack: str | None = None
    push: bool = False


def pod_spec(
    run: SelfAlignRun,
    placement: ResolvedPlacement,
    contents: PodContents,
    *,
    image: str,
    pull_policy: str,
    gpu_resources: Sequence[str] = GPU_RESOURCES,
) -> dict[str, Any]:
    """Builds the PodSpec.

    Args:
        run: the run, for the Secrets and claims that it names.
        placement: resources of the container.
        contents: what the pod runs and mounts.
        image: image reference of the container.
        pull_policy: its imagePullPolicy.
        gpu_resources: resource names of GPUs (api.devices).
    """
    mounts, volumes = _volumes(run, contents)
    # The kubelet expands $(NAME) in values, and turns $$ into $: a text of the spec must arrive as it was written.
    environment = [{"name": name, "value": value.replace("$", "$$")} for name, value in _environment(contents).items()]
    container = {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": pull_policy,
        "args": [*contents.arguments, "--host", ALL_INTERFACES, "--port", str(PORT), "--scratch", SCRATCH],
        "env": [*environment, *threads(run, placement, container=CONTAINER, gpu_resources=gpu_resources)],
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
    values = {TASK_VARIABLE: contents.task, "HOME": TEMPORARY, "USER": "selfalign", "TMPDIR": TEMPORARY}
    values[LOG_VARIABLE] = contents.log
    if contents.push:
        values["DOCKER_CONFIG"] = DOCKER_FOLDER
    return values


def _store_secrets(run: SelfAlignRun) -> list[str]:
    """The name of the Secret with credentials for the artifact store, if there is one."""
    reference = run.spec.artifacts.secret_ref if run.spec.artifacts else None
    return [reference.name] if reference else []


def _secrets(run: SelfAlignRun, contents: PodContents) -> dict[str, str]:
    """Names of the Secrets with credentials for leaves, by leaf name."""
    return {leaf: name for leaf, name in graph.leaf_secrets(run).items() if leaf in contents.leaves}


def _credentials(run: SelfAlignRun, contents: PodContents) -> list[dict[str, Any]]:
    """Sources of environment variables. The kubelet resolves the Secrets: the operator needs no right to read any."""
    of_store = [{"secretRef": {"name": name}} for name in _store_secrets(run)]
    return of_store + [
        {"prefix": credentials.variable_prefix(leaf), "secretRef": {"name": name}}
        for leaf, name in _secrets(run, contents).items()
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
    if BASE_MODEL in contents.leaves and (claim := base_claim(run)):
        add("base-model", BASE_MODEL_FOLDER, {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
    if contents.push and (secret := run.spec.image.push_secret_ref):
        items = [{"key": ".dockerconfigjson", "path": "config.json"}]
        add("docker", DOCKER_FOLDER, {"secret": {"secretName": secret.name, "items": items}})
    folders = [(credentials.ARTIFACTS, name) for name in _store_secrets(run)]
    folders += [(credentials.folder_name(leaf), name) for leaf, name in _secrets(run, contents).items()]
    for folder, name in folders:
        # The same Secrets as in the environment, where they stay as they were when the container started. Optional:
        # the environment requires a missing one already, and the pod's status says so (CreateContainerConfigError),
        # while a volume that cannot be mounted shows only in the kubelet's Events.
        source = {"secret": {"secretName": name, "optional": True}}
        add(f"{folder}-credentials", str(credentials.FOLDER / folder), source)
    return mounts, volumes
