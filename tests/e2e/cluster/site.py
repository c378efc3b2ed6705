"""Everything that a run meets on a real cluster: nodes, a registry with our images, S3, and the operator by Helm."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests import registry_server, s3_server
from tests.cluster.binaries import binaries
from tests.cluster.control_plane import Cluster, control_plane
from tests.cluster.images import FOLDER, TAG, registry_with_images
from tests.cluster.namespace import Namespace
from tests.cluster.node import address, node
from tests.e2e.conftest import SMALL
from tests.helm import helm
from tests.scale import FULL

from selfalign_operator.manifest import overrides

ROOT = Path(__file__).parents[3]
QUICKSTART = ROOT / "examples" / "cluster-quickstart.yaml"
CHART = ROOT / "charts" / "selfalign-operator"
RELEASE, OPERATORS = "selfalign", "selfalign"
"""Release and namespace of the operator."""


@dataclass(frozen=True)
class Site:
    """What tests use of it."""

    cluster: Cluster
    registry: registry_server.Server
    s3: s3_server.Server

    def helm(self, *arguments: str, check: bool = True) -> str:
        """What helm says."""
        return helm("--kubeconfig", str(self.cluster.kubeconfig), *arguments, check=check)

    def install(self, *settings: str) -> None:
        """Installs the operator, or upgrades it, and waits until it watches."""
        images = f"images.registry={self.registry.host}/{FOLDER},images.tag={TAG}"
        into = ("--namespace", OPERATORS, "--create-namespace", "--wait", "--timeout=3m")
        self.helm("upgrade", "--install", RELEASE, str(CHART), *into, "--set", images, *settings)

    def operators(self) -> set[str]:
        """Names of the operator's pods that are there."""
        return set(self._ask("pods", "{.items[*].metadata.name}").split())

    def leader(self) -> str:
        """Name of the pod that holds the Lease; empty if none does."""
        return self._ask("lease", "{.items[*].spec.holderIdentity}")

    def _ask(self, kind: str, path: str) -> str:
        return self.cluster.kubectl("-n", OPERATORS, "get", kind, "-o", f"jsonpath={path}")

    def namespace(self, name: str) -> Namespace:
        """A namespace that enforces `restricted`, with the store's credentials; its runs are the cluster quickstart."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        keys = {"AWS_ACCESS_KEY_ID": s3_server.ACCESS, "AWS_SECRET_ACCESS_KEY": s3_server.SECRET}
        secret = {"name": "s3-credentials", "namespace": name}
        objects = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
            {"apiVersion": "v1", "kind": "Secret", "metadata": secret, "stringData": keys},
        ]
        self.cluster.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(objects))
        return Namespace(self.cluster, name, self._quickstart())

    def _quickstart(self) -> dict[str, Any]:
        """The example's spec with this site's store and registry; in CI as small as the run without a cluster."""
        manifest: dict[str, Any] = yaml.safe_load(QUICKSTART.read_text())
        for name, value in ({} if FULL else SMALL).items():
            assert overrides.apply(manifest, f"{name}={value}") is None
        spec: dict[str, Any] = manifest["spec"]
        spec["artifacts"] |= {"uri": "s3://runs/artifacts", "endpoint": self.s3.endpoint}
        del spec["image"]["pushSecretRef"]
        repository = f"{self.registry.host}/assistants/juniper"
        server = f"{self.registry.host}/{FOLDER}/server:{TAG}"
        spec["image"] |= {"repository": repository, "base": server, "plainHttp": True}
        return spec


@contextmanager
def site(state: Path) -> Iterator[Site]:
    """Up in less than a minute, besides what has to be built."""
    with ExitStack() as stack:
        # compiled, where they are not there yet, while images are downloaded and packed
        stack.enter_context(ThreadPoolExecutor()).submit(binaries)
        at = stack.enter_context(address(state / "cluster"))
        registry = stack.enter_context(registry_with_images(at))
        s3 = stack.enter_context(s3_server.serve(state / "s3" / "buckets", host=at))
        s3.make_bucket("runs")
        cluster = stack.enter_context(control_plane(state / "cluster", address=at))
        stack.enter_context(node(cluster, registry=registry.host))
        made = Site(cluster, registry, s3)
        made.install()
        yield made
