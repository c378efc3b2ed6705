"""The operator's process as a whole, in this one: kopf's watches, the work queue, the Lease, health and SIGTERM."""

import asyncio
import os
import signal
import urllib.error
import urllib.request

import pytest
from kubernetes.config import kube_config
from tests.cluster.namespace import Namespace
from tests.cluster.pretend_node import pretend_node, publish
from tests.s3_server import free_port

from selfalign_operator.cluster.main import serve
from selfalign_operator.cluster.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def settings(namespace: Namespace, port: int) -> Settings:
    images = {f"SELFALIGN_IMAGE_{name}": f"local.test/{name.lower()}:1" for name in ("CPU", "GENERATE", "TRAIN")}
    own = {
        "SELFALIGN_NAMESPACES": namespace.name,
        "SELFALIGN_NAMESPACE": namespace.name,
        "SELFALIGN_IDENTITY": "in-process",
        "SELFALIGN_HEALTH_PORT": str(port),
    }
    return Settings.from_environment(images | own)


def answer(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_an_operator_watches_leads_reconciles_and_gives_the_lease_up_on_sigterm(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(namespace.cluster.kubeconfig))  # kopf reads it now, the client at its import
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(namespace.cluster.kubeconfig))
    port = free_port()

    def use() -> None:
        namespace.apply()
        namespace.wait("Ready", "True")
        assert answer(port, "/healthz")[0] == answer(port, "/readyz")[0] == 200
        metrics = answer(port, "/metrics")[1]
        assert 'selfalign_runs{phase="Ready"} 1.0' in metrics and "selfalign_leader 1.0" in metrics
        assert namespace.get("lease", "selfalign-operator")["spec"]["holderIdentity"] == "in-process"

    async def drive() -> None:
        serving = asyncio.create_task(serve(settings(namespace, port)))
        using = asyncio.create_task(asyncio.to_thread(use))
        await asyncio.wait({serving, using}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await serving
        await using

    with pretend_node(namespace.cluster, publish):
        asyncio.run(drive())
    assert namespace.get("lease", "selfalign-operator")["spec"]["holderIdentity"] == ""


def test_settings_name_the_variable_that_is_missing() -> None:
    with pytest.raises(KeyError, match="SELFALIGN_IMAGE_CPU"):
        Settings.from_environment({})
