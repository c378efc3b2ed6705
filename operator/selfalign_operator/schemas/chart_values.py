"""Values of the Helm chart, as models: values.schema.json is generated from them, and Helm refuses what they refuse.

python -m selfalign_operator.chart > charts/selfalign-operator/values.schema.json
"""

import json
import sys
from typing import Any, Literal

from pydantic import Field

from selfalign_stages.contract.model import Model


class ImageValues(Model):
    """Container images: REGISTRY/NAME:TAG."""

    registry: str = Field(
        default="registry.example.com/selfalign",
        min_length=1,
        description="where your images lie; stands before all names",
    )
    tag: str = Field(default="", description="the chart's appVersion where empty")
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    operator: str = Field(default="operator", description="image of the operator itself")
    cpu: str = Field(default="stage-cpu", description="preflight, import, merging of prompts, gates, packaging")
    generate: str = Field(default="stage-generate", description="vLLM")
    train: str = Field(default="stage-train", description="torch, transformers, peft")


class Definitions(Model):
    """The CustomResourceDefinition."""

    enabled: bool = Field(default=True, description="it is kept when the chart is uninstalled")


class ServiceAccount(Model):
    """The operator's identity."""

    create: bool = True
    name: str = Field(default="", description="the release's name where empty")
    annotations: dict[str, str] = {}


class NetworkPolicy(Model):
    """Who may reach the operator's pod."""

    enabled: bool = Field(default=False, description="let in health checks alone")


class ServiceMonitor(Model):
    """Scraping by the Prometheus operator, whose definitions the cluster then needs."""

    enabled: bool = Field(default=False, description="a Service for /metrics and a ServiceMonitor of it")
    labels: dict[str, str] = Field(default={}, description="those by which your Prometheus selects monitors")


class Values(Model):
    """Values of the chart selfalign-operator."""

    images: ImageValues = ImageValues()
    image_pull_secrets: tuple[dict[str, str], ...] = ()
    crds: Definitions = Definitions()
    scope: Literal["cluster", "namespaced"] = Field(default="cluster", description="namespaced: by Roles alone")
    watch_namespaces: tuple[str, ...] = Field(default=(), description="namespaced: besides the release's own")
    replicas: int = Field(
        default=1, ge=1, le=5, description="one acts; the others wait for its Lease and take over within 20 seconds"
    )
    service_account: ServiceAccount = ServiceAccount()
    resources: dict[str, Any] = {
        "requests": {"cpu": "50m", "memory": "192Mi"},
        "limits": {"memory": "512Mi"},
    }
    node_selector: dict[str, str] = {}
    tolerations: tuple[dict[str, Any], ...] = ()
    affinity: dict[str, Any] = {}
    priority_class_name: str = ""
    pod_annotations: dict[str, str] = {}
    user_roles: bool = Field(default=True, description="ClusterRoles for runs that aggregate to admin, edit and view")
    network_policy: NetworkPolicy = NetworkPolicy()
    service_monitor: ServiceMonitor = ServiceMonitor()
    global_: dict[str, Any] = Field(default={}, alias="global", description="of Helm: values of parent charts")


def schema() -> str:
    """values.schema.json."""
    return json.dumps(Values.model_json_schema(by_alias=True), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
