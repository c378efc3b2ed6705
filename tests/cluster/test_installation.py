"""Installing, upgrading, rolling back and moving a release with Helm, by a cluster admin and by a namespace's admin."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.chart import CHART, HELM_3
from tests.cluster.control_plane import Cluster, control_plane, wait_for
from tests.cluster.namespace import Namespace
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.pretend_node import pretend_node, publish
from tests.helm import helm
from tests.scale import FULL
from tests.tools import go_tool, run_tool

pytestmark = pytest.mark.slow

DEFINITION = "selfalignruns.selfalign.dev"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of this module's own, because its tests install and change the definition."""
    with control_plane(tmp_path_factory.mktemp("bare")) as cluster:
        yield cluster


@pytest.fixture
def team(bare: Cluster, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A namespace in a cluster without the definition."""
    name = f"t-{abs(hash(request.node.nodeid)) % 10**8}"
    bare.kubectl("create", "namespace", name)
    yield Namespace(bare, name)
    bare.kubectl("delete", "crd", DEFINITION, "--ignore-not-found")
    bare.kubectl("delete", "namespace", name, "--wait=false")


def of(cluster: Cluster, *arguments: str, check: bool = True) -> str:
    """What helm prints about a cluster."""
    return helm("--kubeconfig", str(cluster.kubeconfig), *arguments, check=check)


def earlier_chart(folder: Path, *, definition_in_manifest: bool = False) -> Path:
    """The chart with a definition that does not have spec.suspend yet."""
    chart = Path(shutil.copytree(CHART, folder / "chart"))
    file = chart / "files" / "crd.yaml"
    definition = yaml.safe_load(file.read_text())
    del _spec_of(definition)["suspend"]
    file.write_text(yaml.safe_dump(definition, sort_keys=False))
    if definition_in_manifest:
        (chart / "templates" / "crd.yaml").write_text('{{ .Files.Get "files/crd.yaml" }}')
    return chart


def _spec_of(definition: dict[str, Any]) -> dict[str, Any]:
    """The fields of spec in a definition."""
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    fields: dict[str, Any] = schema["properties"]["spec"]["properties"]
    return fields


def fields(cluster: Cluster) -> set[str]:
    """Names of the fields of spec that the API server serves."""
    return {*_spec_of(json.loads(cluster.kubectl("get", "crd", DEFINITION, "-o", "json")))}


def served(cluster: Cluster) -> None:
    """Waits until the API server serves runs."""
    wait_for("runs are served", lambda: "No resources" in cluster.kubectl("get", "selfalignruns", check=False))


@pytest.mark.parametrize("in_manifest", [False, True], ids=["hook", "in the manifest"])
def test_an_upgrade_updates_the_definition_and_neither_rollback_nor_uninstalling_takes_it_back(
    team: Namespace, tmp_path: Path, in_manifest: bool
) -> None:
    cluster, into = team.cluster, ("--namespace", team.name)
    of(cluster, "install", "first", str(earlier_chart(tmp_path, definition_in_manifest=in_manifest)), *into)
    served(cluster)
    team.apply()
    assert "suspend" not in fields(cluster)
    of(cluster, "upgrade", "first", str(CHART), *into)
    assert "suspend" in fields(cluster)
    of(cluster, "upgrade", "first", str(CHART), *into, "--set", "podAnnotations.release=third")
    of(cluster, "rollback", "first", "2", *into)
    if not in_manifest:  # what Helm recorded with an earlier version of the chart, it applies again
        of(cluster, "rollback", "first", "1", *into)
    assert "suspend" in fields(cluster)
    of(cluster, "uninstall", "first", *into)
    assert "suspend" in fields(cluster)
    assert team.get("selfalignruns")["items"]


def test_after_uninstalling_the_chart_can_be_installed_under_another_name(team: Namespace) -> None:
    cluster, into = team.cluster, ("--namespace", team.name)
    of(cluster, "install", "first", str(CHART), *into)
    of(cluster, "uninstall", "first", *into)
    assert "STATUS: deployed" in of(cluster, "install", "second", str(CHART), *into)
    of(cluster, "uninstall", "second", *into)


if FULL:

    def test_with_helm_3_the_definition_belongs_to_the_release_and_the_documented_commands_move_it_on(
        team: Namespace, tmp_path: Path
    ) -> None:
        def of_3(*arguments: str, check: bool = True) -> str:
            access = ("--kubeconfig", str(cluster.kubeconfig), "--namespace", team.name)
            return run_tool(go_tool(*HELM_3), *access, *arguments, check=check)

        cluster, into = team.cluster, ("--namespace", team.name)
        of_3("install", "first", str(earlier_chart(tmp_path)))
        of_3("upgrade", "first", str(CHART))
        assert "suspend" in fields(cluster)
        of_3("rollback", "first", "1")
        assert "suspend" not in fields(cluster)
        of_3("upgrade", "first", str(CHART))
        assert "suspend" in fields(cluster)
        of_3("uninstall", "first")
        assert "invalid ownership metadata" in of_3("install", "second", str(CHART), check=False)
        of_3("install", "second", str(CHART), "--take-ownership")
        of_3("uninstall", "second")
        assert "invalid ownership metadata" in of(cluster, "install", "third", str(CHART), *into, check=False)
        of(cluster, "install", "third", str(CHART), *into, "--take-ownership")
        of(cluster, "upgrade", "third", str(CHART), *into)
        of(cluster, "uninstall", "third", *into)
        assert "suspend" in fields(cluster)


def test_a_release_that_watches_the_namespaces_of_another_is_named(team: Namespace) -> None:
    cluster, roles_alone = team.cluster, ("--set", "crds.enabled=false,userRoles.create=false")
    namespaced, watching = ("--set", "scope=namespaced"), ("--set", f"watchNamespaces={{{team.name}}}")
    assert "WARNING" not in of(cluster, "install", "ours", str(CHART), "-n", team.name, *namespaced)
    notes = of(cluster, "install", "theirs", str(CHART), "-n", "default", *namespaced, *watching)
    assert f"the release {team.name}/ours watches {team.name}, too" in notes
    notes = of(cluster, "install", "everywhere", str(CHART), "-n", "default", *roles_alone)
    assert f"the release {team.name}/ours watches" in notes and "the release default/theirs watches" in notes
    of(cluster, "uninstall", "theirs", "everywhere", "-n", "default")
    notes = of(cluster, "upgrade", "ours", str(CHART), "-n", team.name, *namespaced)
    assert "WARNING" not in notes, "the remedy has been followed"
    of(cluster, "uninstall", "ours", "-n", team.name)


def test_an_admin_of_a_namespace_installs_an_operator_that_works_there(team: Namespace, tmp_path: Path) -> None:
    cluster = team.cluster
    of(cluster, "install", "shared", str(CHART), "--namespace", "default", "--set", "scope=none")
    served(cluster)
    cluster.kubectl("-n", team.name, "create", "rolebinding", "alice", "--clusterrole=admin", "--user=alice")
    may = ("-n", team.name, "--as=alice", "auth", "can-i", "patch", "selfalignruns/status")
    wait_for("admin has the rights by aggregation", lambda: cluster.kubectl(*may, check=False).startswith("yes"))
    as_alice = ("--kube-as-user", "alice", "--namespace", team.name)
    of(cluster, "install", "ours", str(CHART), *as_alice, "--set", "scope=namespaced")
    process = operator_of(team, "ours", tmp_path)
    process.start()
    with pretend_node(cluster, publish):
        team.apply()
        team.wait("Ready", "True")
    process.stop()
    assert "forbidden" not in process.log.read_text()
    of(cluster, "uninstall", "ours", *as_alice)
    of(cluster, "uninstall", "shared", "--namespace", "default")


def operator_of(team: Namespace, release: str, folder: Path) -> OperatorProcess:
    """The operator as a release's Deployment configures it, with the rights of its ServiceAccount."""
    deployment = json.loads(team.cluster.kubectl("-n", team.name, "get", "deployment", release, "-o", "json"))
    pod = deployment["spec"]["template"]["spec"]
    config = yaml.safe_load(team.cluster.kubeconfig.read_text())
    token = team.cluster.kubectl("-n", team.name, "create", "token", pod["serviceAccountName"]).strip()
    config["users"] = [{"name": "admin", "user": {"token": token}}]
    (folder / "kubeconfig").write_text(json.dumps(config))
    process = OperatorProcess(team.cluster, team.name)
    plain = {one["name"]: one["value"] for one in pod["containers"][0]["env"] if "value" in one}
    process.environment = {**plain, "KUBECONFIG": str(folder / "kubeconfig")}
    return process
