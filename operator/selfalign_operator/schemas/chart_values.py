"""Values of the Helm chart as models, from which its values.schema.json is generated.

Helm validates values against that schema, so a misspelt or misplaced value fails `helm install` and `helm upgrade`
instead of being ignored. The defaults here and in values.yaml are compared by a test. To regenerate the schema:

    python -m selfalign_operator.schemas.chart_values > charts/selfalign-operator/values.schema.json
"""

import json
import sys
from typing import Annotated, Any, Literal

from pydantic import Field

from selfalign_stages.contract.model import Model

PullSecret = Annotated[
    dict[str, Annotated[str, Field(description="Name of a Secret in the release's namespace.")]],
    Field(description="Reference to one Secret, such as {name: registry}."),
]


class ImageValues(Model):
    """Container images of the operator and of the stage pods, each REGISTRY/NAME:TAG."""

    registry: str = Field(
        default="registry.example.com/selfalign",
        min_length=1,
        description="Registry and path that hold all images, put before their names. Set it to yours.",
    )
    tag: str = Field(default="", description="Tag of all images. Empty: the chart's appVersion.")
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
        description="Whether to install and upgrade the definition. Uninstalling the chart keeps it, and so all runs.",
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


class NetworkPolicy(Model):
    """Protection of the operator's pod by a NetworkPolicy."""

    enabled: bool = Field(
        default=False,
        description="Whether to refuse all traffic into the operator's pod except to its port for health and metrics.",
    )


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
    scope: Literal["cluster", "namespaced"] = Field(
        default="cluster",
        description="Namespaces that the operator watches. cluster: all, by a ClusterRole; namespaced: the release's "
        "and watchNamespaces, by Roles.",
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
    node_selector: dict[str, Annotated[str, Field(description="Value of the node label.")]] = Field(
        default={}, description="Node labels that the operator's pod requires."
    )
    tolerations: tuple[Annotated[dict[str, Any], Field(description="One toleration, as in a pod.")], ...] = Field(
        default=(), description="Tolerations of the operator's pod."
    )
    affinity: dict[str, Any] = Field(default={}, description="Affinity of the operator's pod, as in a pod.")
    priority_class_name: str = Field(default="", description="PriorityClass of the operator's pod. Empty: the default.")
    pod_annotations: dict[str, Annotated[str, Field(description="Value of the annotation.")]] = Field(
        default={}, description="Annotations of the operator's pod."
    )
    user_roles: bool = Field(
        default=True,
        description="Whether to create ClusterRoles that let admin and edit manage runs, and view read them, by "
        "aggregation.",
    )
    network_policy: NetworkPolicy = Field(default=NetworkPolicy(), description="NetworkPolicy of the operator's pod.")
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
