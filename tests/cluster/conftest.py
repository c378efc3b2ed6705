"""One control plane for all tests of a run; each test has a namespace of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.control_plane import Cluster, control_plane, wait_for
from tests.cluster.namespace import Namespace
from tests.cluster.operator_process import OperatorProcess

ROOT = Path(__file__).parents[2]


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
