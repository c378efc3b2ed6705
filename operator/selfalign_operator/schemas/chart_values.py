"""Values of the Helm chart as models, from which its values.schema.json is generated.

Helm validates values against that schema, so a misspelt or misplaced value fails `helm install` and `helm upgrade`
instead of being ignored. The defaults here and in values.yaml are compared by a test. To regenerate the schema:

    python -m selfalign_operator.schemas.chart_values > charts/selfalign-operator/values.schema.json
"""

import json
import sys
from typing import Annotated, Any, Literal

from pydantic import Field

from selfalign_operator.api.devices import GPU_RESOURCES
from selfalign_stages.contract.model import Model

PullSecret = Annotated[
    dict[str, Annotated[str, Field(description="Name of a Secret in the release's namespace.")]],
    Field(description="Reference to one Secret, such as {name: registry}."),
]

GpuResource = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9.*-]+/[A-Za-z0-9._*-]+$",
        max_length=317,
        description="Name of an extended resource, such as nvidia.com/gpu; `*` matches any text.",
    ),
]


Digest = Annotated[
    Literal[""] | Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")],
    Field(description="Digest that the tag must have, such as sha256:... Empty: whatever the tag names."),
]


class Digests(Model):
    """Digests that pin the images: each is then REGISTRY/NAME:TAG@DIGEST, and the kubelet ignores the tag."""

    operator: Digest = ""
    cpu: Digest = ""
    generate: Digest = ""
    train: Digest = ""


class ImageValues(Model):
    """Container images of the operator and of the stage pods, each REGISTRY/NAME:TAG."""

    registry: str = Field(
        default="registry.example.com/selfalign",
        min_length=1,
        description="Registry and path that hold all images, put before their names. Set it to yours.",
    )
    tag: str = Field(
        default="", description="Tag of all images. Empty: the chart's appVersion, with `_` for `+` as in an OCI tag."
    )
    digests: Digests = Field(default=Digests(), description="Digests that pin the images.")
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="Pull policy of all containers, those of stage pods included."
    )
    operator: str = Field(default="operator", description="Name of the operator's image.")
    cpu: str = Field(
        default="stage-cpu",
        description="Name of the image for steps without an accelerator: preflight, import, prompts, gate, packaging.",
    )
    generate: str = Field(
        default="stage-generate", description="Name of the image for generation and scoring, with vLLM."
    )
    train: str = Field(
        default="stage-train", description="Name of the image for training and merging, with PyTorch and PEFT."
    )


class Definitions(Model):
    """Installation of the CustomResourceDefinition."""

    enabled: bool = Field(
        default=True,
        description="Whether to install and upgrade the definition. Uninstalling the chart keeps it, and so all runs. "
        "Never installed with scope namespaced.",
    )


class UserRoles(Model):
    """ClusterRoles that let people manage and read runs."""

    create: bool = Field(
        default=True,
        description="Whether to create ClusterRoles that let admin and edit manage runs, and view read them, by "
        "aggregation. They also let admin grant the operator's rights. Never created with scope namespaced.",
    )


class Kueue(Model):
    """What the operator reads of Kueue, for runs with spec.queueName."""

    read_workloads: Literal["WithClusterScope", "Always", "Never"] = Field(
        default="WithClusterScope",
        description="Whether the operator may list Workloads, to report Kueue's message of a run that waits for quota. "
        "WithClusterScope: with scope cluster only, because an admin of a namespace cannot grant that right.",
    )


class ServiceAccount(Model):
    """ServiceAccount that the operator runs as. Stage pods use the run's own (spec.podDefaults.serviceAccountName)."""

    create: bool = Field(
        default=True,
        description="Whether to create the account and bind its Roles. False: an account with them exists.",
    )
    name: str = Field(
        default="", description="Name of the account. Empty: the release's name, or `default` if it is not created."
    )
    annotations: dict[str, Annotated[str, Field(description="Value of the annotation.")]] = Field(
        default={}, description="Annotations of the account."
    )


Port = Annotated[int, Field(ge=1, le=65_535, description="TCP port behind the address translation of Services.")]


class NetworkPolicy(Model):
    """NetworkPolicies of the operator's pod and of stage pods, where the network plugin enforces them."""

    enabled: bool = Field(
        default=True,
        description="Whether to refuse all traffic of the operator's and of stage pods except DNS, the operator's "
        "requests to API server and stage pods, its port for health and metrics, and what the values here allow.",
    )
    stage_namespaces: tuple[Annotated[str, Field(description="Name of an existing namespace.")], ...] = Field(
        default=(),
        description="Namespaces with a policy for stage pods besides the release's own. Used with scope cluster only; "
        "with scope namespaced every watched namespace has one.",
    )
    api_server_ports: tuple[Port, ...] = Field(
        default=(443, 6443, 8443, 16443),
        min_length=1,
        description="Ports of the API server that the operator may reach, on any address.",
    )
    egress_ports: tuple[Port, ...] = Field(
        default=(443, 5000, 9000),
        description="Ports that stage pods may reach on any address: those of artifact store, registry and model hub. "
        "Without 80 they cannot reach the metadata service of a cloud's nodes.",
    )
    metrics_from: tuple[
        Annotated[dict[str, Any], Field(description="One NetworkPolicyPeer, as in a NetworkPolicy.")], ...
    ] = Field(default=(), description="Peers besides the operator that may read progress and metrics of stage pods.")
    stage_egress: tuple[
        Annotated[dict[str, Any], Field(description="One NetworkPolicyEgressRule, as in a NetworkPolicy.")], ...
    ] = Field(default=(), description="Further egress rules of stage pods, such as a proxy or workload identity.")
    operator_egress: tuple[
        Annotated[dict[str, Any], Field(description="One NetworkPolicyEgressRule, as in a NetworkPolicy.")], ...
    ] = Field(default=(), description="Further egress rules of the operator's pod, such as a proxy to the API server.")


class ServiceMonitor(Model):
    """Scraping of the operator's metrics by the Prometheus operator, whose CRDs the cluster must have."""

    enabled: bool = Field(
        default=False, description="Whether to create a Service for /metrics and a ServiceMonitor of it."
    )
    labels: dict[str, Annotated[str, Field(description="Value of the label.")]] = Field(
        default={}, description="Labels of the ServiceMonitor, by which a Prometheus selects its monitors."
    )


class Values(Model):
    """Values of the chart selfalign-operator."""

    images: ImageValues = Field(
        default=ImageValues(), description="Container images of the operator and the stage pods."
    )
    image_pull_secrets: tuple[PullSecret, ...] = Field(
        default=(),
        description="Pull secrets of the operator's pod, such as [{name: registry}]. Stage pods have those of the "
        "run's ServiceAccount or template.",
    )
    crds: Definitions = Field(
        default=Definitions(), description="CustomResourceDefinition of SelfAlignRun, which all namespaces share."
    )
    scope: Literal["cluster", "namespaced", "none"] = Field(
        default="cluster",
        description="Namespaces that the operator watches. cluster: all, by a ClusterRole. namespaced: the release's "
        "and watchNamespaces, by Roles; no object of the release is outside them, so the definition must exist. none: "
        "no operator, only the definition and userRoles, for operators with scope namespaced.",
    )
    watch_namespaces: tuple[Annotated[str, Field(description="Name of an existing namespace.")], ...] = Field(
        default=(), description="Namespaces to watch besides the release's own. Used with scope namespaced only."
    )
    replicas: int = Field(
        default=1,
        ge=1,
        le=5,
        description="Pods of the operator. One leads; the others stand by for its Lease and take over within 20 "
        "seconds.",
    )
    service_account: ServiceAccount = Field(
        default=ServiceAccount(), description="ServiceAccount that the operator runs as."
    )
    resources: dict[str, Any] = Field(
        default={
            "requests": {"cpu": "50m", "memory": "192Mi"},
            "limits": {"memory": "512Mi"},
        },
        description="Resource requests and limits of the operator's container. Those of stages are fields of each run.",
    )
    gpu_resources: tuple[GpuResource, ...] = Field(
        default=GPU_RESOURCES,
        min_length=1,
        max_length=64,
        description="Extended resources that count as GPUs: for GPU hours and their budget, and for the number of "
        "threads of a container without one. Others (network devices, GPU memory) do not count.",
    )
    node_selector: dict[str, Annotated[str, Field(description="Value of the node label.")]] = Field(
        default={}, description="Node labels that the operator's pod requires."
    )
    tolerations: tuple[Annotated[dict[str, Any], Field(description="One toleration, as in a pod.")], ...] = Field(
        default=(), description="Tolerations of the operator's pod."
    )
    pod_security_context: dict[str, Any] = Field(
        default={"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        description="Security context of the operator's pod, as in a pod. The user is the image's, because some "
        "clusters (OpenShift) assign one and refuse any other.",
    )
    affinity: dict[str, Any] = Field(default={}, description="Affinity of the operator's pod, as in a pod.")
    priority_class_name: str = Field(default="", description="PriorityClass of the operator's pod. Empty: the default.")
    pod_annotations: dict[str, Annotated[str, Field(description="Value of the annotation.")]] = Field(
        default={}, description="Annotations of the operator's pod."
    )
    user_roles: UserRoles = Field(default=UserRoles(), description="ClusterRoles that let people use runs.")
    kueue: Kueue = Field(default=Kueue(), description="What the operator reads of Kueue.")
    network_policy: NetworkPolicy = Field(
        default=NetworkPolicy(), description="NetworkPolicies of the operator's pod and of stage pods."
    )
    service_monitor: ServiceMonitor = Field(
        default=ServiceMonitor(), description="Scraping of the operator's metrics by the Prometheus operator."
    )
    global_: dict[str, Any] = Field(
        default={}, alias="global", description="Global values of parent charts, which Helm passes on. Not used here."
    )


def schema() -> str:
    """Returns the content of values.schema.json: a JSON schema that refuses unknown values."""
    return json.dumps(Values.model_json_schema(by_alias=True), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
