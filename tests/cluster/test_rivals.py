"""An operator names another release that watches its namespace in its log."""

import pytest
from tests.cluster.control_plane import wait_for
from tests.cluster.namespace import Namespace
from tests.cluster.operator_process import OperatorProcess

pytestmark = pytest.mark.slow


def operator_of(namespace: Namespace, release: str, *, image: str) -> OperatorProcess:
    """An operator of a release; all write one log."""
    environment = {"SELFALIGN_NAME": release, "SELFALIGN_IMAGE_CPU": image}
    return OperatorProcess(namespace.cluster, namespace.name, identity=f"{release}-0", environment=environment)


def test_another_release_in_the_namespace_is_named_in_the_log(namespace: Namespace) -> None:
    first, second = (operator_of(namespace, name, image=f"local.test/{name}:1") for name in ("first", "second"))
    first.start()
    lease = ("-n", namespace.name, "get", "lease", "first", "-o", "jsonpath={.spec.holderIdentity}")
    wait_for("the first holds its Lease", lambda: namespace.cluster.kubectl(*lease, check=False) == "first-0")
    second.start()
    expected = f"the release {namespace.name}/first watches {namespace.name} as well"
    wait_for("the second names the first", lambda: expected in second.log.read_text())
    assert "with other stage images (local.test/first:1)" in second.log.read_text()
    second.stop()
    first.stop()
