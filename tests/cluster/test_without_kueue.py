"""A queue is named in a cluster where nobody installed Kueue. The shared cluster may have it, so this one is apart."""

from collections.abc import Iterator

import pytest
from tests.cluster.conftest import ROOT
from tests.cluster.control_plane import control_plane, wait_for
from tests.cluster.in_process import InProcessOperator, client_of
from tests.cluster.namespace import Namespace

from selfalign_operator.cluster.client import ApiError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def namespace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """A namespace of a cluster without Kueue and without controllers: nothing here needs a pod."""
    with control_plane(tmp_path_factory.mktemp("bare"), controllers=False) as cluster:
        cluster.kubectl("apply", "--server-side", "-f", str(ROOT / "charts/selfalign-operator/files/crd.yaml"))
        wait_for("runs are served", lambda: "No resources" in cluster.kubectl("get", "selfalignruns", check=False))
        cluster.kubectl("create", "namespace", "team")
        yield Namespace(cluster, "team")


def test_workloads_are_not_found(namespace: Namespace) -> None:
    with pytest.raises(ApiError) as raised:
        client_of(namespace).get_workload(namespace.name, "uid")
    assert raised.value.code == 404


def test_a_queue_is_named_with_its_remedy(namespace: Namespace) -> None:
    namespace.apply(queueName="team-a")
    operator = InProcessOperator(namespace, client_of(namespace))
    operator.reconcile_until(lambda: namespace.condition("Reconciling").get("reason") == "QuotaPending")
    message = namespace.condition("Reconciling")["message"]
    assert "team-a" in message and "no Kueue" in message and "remove spec.queueName" in message
