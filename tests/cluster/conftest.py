"""One control plane for all tests of a run; each test has a namespace of its own."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.control_plane import Cluster, control_plane, wait_for
from tests.cluster.operator_process import OperatorProcess

ROOT = Path(__file__).parents[2]
SPEC: dict[str, Any] = {
    "baseModel": {"uri": "builtin://hamlet"},
    "principles": {"builtin": "hamlet"},
    "artifacts": {"uri": "s3://runs/a", "secretRef": {"name": "s3"}},
    "image": {"repository": "reg.test/ida"},
}


@dataclass(frozen=True)
class Namespace:
    """What a test says to the API server, and what it sees there."""

    cluster: Cluster
    name: str

    def apply(self, name: str = "trial", **spec: Any) -> None:
        """Applies a run."""
        self.cluster.kubectl("apply", "-f", "-", text=yaml.safe_dump(self.manifest(name, **spec)))

    def manifest(self, name: str = "trial", **spec: Any) -> dict[str, Any]:
        """A small run that a cluster accepts."""
        metadata = {"name": name, "namespace": self.name}
        kind = {"apiVersion": "selfalign.dev/v1alpha1", "kind": "SelfAlignRun"}
        return kind | {"metadata": metadata, "spec": SPEC | spec}

    def get(self, *what: str) -> Any:
        """Objects as JSON."""
        return json.loads(self.cluster.kubectl("-n", self.name, "get", *what, "-o", "json"))

    def status(self, name: str = "trial") -> dict[str, Any]:
        """A run's status."""
        found: dict[str, Any] = self.get("sar", name).get("status", {})
        return found

    def condition(self, type_: str, name: str = "trial") -> dict[str, Any]:
        """A condition of a run; empty if it is not there yet."""
        return next((c for c in self.status(name).get("conditions", ()) if c["type"] == type_), {})

    def jobs(self) -> list[dict[str, Any]]:
        """All Jobs."""
        items: list[dict[str, Any]] = self.get("jobs")["items"]
        return items

    def wait(self, type_: str, status: str, *, name: str = "trial", seconds: float = 90) -> None:
        """Waits for a condition."""
        wait_for(
            f"{type_}={status} of {self.name}/{name}; it is {self.cluster.kubectl('-n', self.name, 'get', 'sar')}",
            lambda: self.condition(type_, name).get("status") == status,
            seconds=seconds,
        )


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane with our CRD, without a node."""
    with control_plane(tmp_path_factory.mktemp("cluster")) as made:
        made.kubectl("apply", "--server-side", "-f", str(ROOT / "charts/selfalign-operator/files/crd.yaml"))
        wait_for("runs are served", lambda: "No resources" in made.kubectl("get", "selfalignruns", check=False))
        yield made


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """An empty namespace."""
    name = f"t-{abs(hash(request.node.nodeid)) % 10**8}"
    cluster.kubectl("create", "namespace", name)
    yield Namespace(cluster, name)
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def operator(cluster: Cluster, namespace: Namespace) -> Iterator[OperatorProcess]:
    """An operator that runs in the test's namespace."""
    process = OperatorProcess(cluster, namespace.name)
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def schema_namespace(cluster: Cluster) -> Namespace:
    """A namespace for tests that create nothing."""
    return Namespace(cluster, "default")
