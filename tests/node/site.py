"""Everything that a run meets on a real cluster: nodes, a registry with our images, S3, and the operator by Helm."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from tests import registry_server, s3_server
from tests.cluster.control_plane import Cluster, control_plane
from tests.cluster.images import FOLDER, TAG, registry_with_images
from tests.cluster.node import address, node
from tests.tools import go_tool, run_tool

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "selfalign-operator"
HELM = ("helm.sh/helm/v3/cmd/helm", "v3.19.2")
RELEASE, OPERATORS = "selfalign", "selfalign"
"""Release and namespace of the operator."""


@dataclass(frozen=True)
class Site:
    """What tests use of it."""

    cluster: Cluster
    registry: registry_server.Server
    s3: s3_server.Server

    def helm(self, *arguments: str) -> str:
        """What helm says."""
        return run_tool(go_tool(*HELM), "--kubeconfig", str(self.cluster.kubeconfig), *arguments)

    @property
    def image_settings(self) -> tuple[str, ...]:
        """Chart values that name our images."""
        return ("--set", f"images.registry={self.registry.host}/{FOLDER},images.tag={TAG}")

    def namespace(self, name: str) -> None:
        """A namespace that enforces `restricted`, with the store's credentials."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        keys = {"AWS_ACCESS_KEY_ID": s3_server.ACCESS, "AWS_SECRET_ACCESS_KEY": s3_server.SECRET}
        objects = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3", "namespace": name}, "stringData": keys},
        ]
        self.cluster.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(objects))


@contextmanager
def site(state: Path) -> Iterator[Site]:
    """Up in less than a minute, besides what has to be built."""
    with ExitStack() as stack:
        at = stack.enter_context(address())
        registry = stack.enter_context(registry_with_images(at))
        s3 = stack.enter_context(s3_server.serve(state / "s3" / "buckets", host=at))
        s3.make_bucket("runs")
        cluster = stack.enter_context(control_plane(state / "cluster", address=at))
        stack.enter_context(node(cluster, registry=registry.host))
        made = Site(cluster, registry, s3)
        into = ("--namespace", OPERATORS, "--create-namespace")
        made.helm("install", RELEASE, str(CHART), *into, *made.image_settings, "--wait", "--timeout=3m")
        yield made
