"""Settings of the operator process, from the environment variables that the chart sets.

Environment variables and not a configuration file: Helm renders them into the Deployment, so a changed value changes
the pod template and the rollout restarts the operator with it. Nothing has to be watched or reloaded.

No access to the API server.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass

from selfalign_operator.api.devices import GPU_RESOURCES
from selfalign_operator.jobs.job import StageImages

IMAGES = ("cpu", "generate", "train")
"""The stage images: without an accelerator library, with the inference engine, with the training stack."""


@dataclass(frozen=True)
class Settings:
    """Settings of one operator process.

    Attributes:
        images: images of the stage pods, their pull policy, and the resource names of their GPUs.
        namespaces: the namespaces to watch; empty means the whole cluster.
        health_port: TCP port of /healthz, /readyz and /metrics.
        namespace: the operator's own namespace, which its Lease is in.
        name: name of the Lease: the Helm release, so that two releases do not compete for one.
        identity: this process in leader election.
    """

    images: StageImages
    namespaces: tuple[str, ...] = ()
    health_port: int = 8081
    namespace: str = "default"
    name: str = "selfalign-operator"
    identity: str = "operator"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Reads the SELFALIGN_* variables.

        Raises:
            KeyError: the image of a stage is missing; there is no default, since images live in the user's registry.
            ValueError: SELFALIGN_HEALTH_PORT is not a number.
        """
        images = {name: environment[f"SELFALIGN_IMAGE_{name.upper()}"] for name in IMAGES}
        pull_policy = environment.get("SELFALIGN_IMAGE_PULL_POLICY", "IfNotPresent")
        gpu_resources = tuple(filter(None, environment.get("SELFALIGN_GPU_RESOURCES", "").split(",")))
        namespaces = tuple(filter(None, environment.get("SELFALIGN_NAMESPACES", "").split(",")))
        own_namespace = environment.get("SELFALIGN_NAMESPACE", "default")
        # everything but the images has a default, so that the operator can be started by hand for development
        return cls(
            images=StageImages(images, pull_policy, gpu_resources or GPU_RESOURCES),
            # the operator's own namespace is always watched: events of its Lease prove that the watches work
            namespaces=tuple(dict.fromkeys((*namespaces, own_namespace))) if namespaces else (),
            health_port=int(environment.get("SELFALIGN_HEALTH_PORT", "8081")),
            namespace=own_namespace,
            name=environment.get("SELFALIGN_NAME", "selfalign-operator"),
            # a pod's host name is the pod's name: a restarted container is the same candidate and keeps the Lease
            identity=environment.get("SELFALIGN_IDENTITY") or socket.gethostname(),
        )
