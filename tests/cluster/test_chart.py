"""The chart: rendered by helm, taken by a real API server, and enough rights for the operator, no more."""

import shutil
from pathlib import Path

import pytest
import yaml
from tests.cluster.chart import CHART, HELM_3, rendered
from tests.cluster.control_plane import Cluster
from tests.cluster.namespace import Namespace
from tests.helm import helm
from tests.scale import FULL
from tests.tools import go_tool, run_tool

pytestmark = pytest.mark.slow

TEAMS = ("team-a", "team-b")


SETTINGS: list[tuple[str, ...]] = [
    (),
    ("--set", "scope=namespaced"),
    ("--set", "scope=namespaced,watchNamespaces={team-a,team-b}"),
    ("--set", "scope=none"),
    ("--set", "networkPolicy.enabled=true,userRoles.create=false,crds.enabled=false"),
    ("--set", "scope=namespaced,kueue.readWorkloads=Always,crds.enabled=false"),
    ("--set", "priorityClassName=high,nodeSelector.pool=a,imagePullSecrets[0].name=pull"),
    ("--set", "replicas=3"),
    ("--set", "scope=namespaced,replicas=2,networkPolicy.enabled=true,serviceMonitor.enabled=true"),
]


@pytest.fixture(scope="module")
def teams(cluster: Cluster) -> Cluster:
    """A cluster with the namespaces that the chart's values name."""
    for name in TEAMS:
        cluster.kubectl("create", "namespace", name)
    return cluster


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_object_is_taken_by_the_api_server(teams: Cluster, settings: tuple[str, ...]) -> None:
    assert "0 chart(s) failed" in helm("lint", str(CHART), *settings)
    dry_run = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-")
    documents = [document for document in rendered(*settings) if document["kind"] != "ServiceMonitor"]
    teams.kubectl(*dry_run, text=yaml.safe_dump_all(documents))


if FULL:

    @pytest.mark.parametrize("settings", SETTINGS)
    def test_helm_3_renders_the_same_objects(settings: tuple[str, ...]) -> None:
        text = run_tool(go_tool(*HELM_3), "template", "trial", str(CHART), "--namespace", "default", *settings)
        assert [document for document in yaml.safe_load_all(text) if document] == rendered(*settings)


def test_a_value_that_does_not_exist_is_refused() -> None:
    told = helm("template", "trial", str(CHART), "--set", "image.tag=1", check=False)
    assert "image" in told and "values don't meet the specifications" in told


def test_the_monitor_selects_the_operators_metrics() -> None:
    found = {one["kind"]: one for one in rendered("--set", "serviceMonitor.enabled=true,serviceMonitor.labels.team=a")}
    service, monitor = found["Service"], found["ServiceMonitor"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["metadata"]["labels"]["team"] == "a"
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    pod = found["Deployment"]["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert service["spec"]["ports"][0]["targetPort"] in {port["name"] for port in pod["spec"]["containers"][0]["ports"]}


def test_the_definition_is_kept_when_the_chart_is_uninstalled() -> None:
    (definition,) = (one for one in rendered() if one["kind"] == "CustomResourceDefinition")
    assert definition["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_operator_may_read_no_secret_and_run_nothing_in_pods() -> None:
    rules = [rule for one in rendered() if "Role" in one["kind"] for rule in one.get("rules", ())]
    asked = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    assert not {resource for resource, _ in asked} & {"secrets", "pods/exec", "*"}
    assert ("pods", "create") not in asked and not {verb for _, verb in asked} & {"*", "escalate", "impersonate"}


def test_the_operator_may_write_no_lease_but_its_own_and_create_one_in_its_own_namespace_alone() -> None:
    for scope in ("cluster", "namespaced"):
        roles = [one for one in rendered("--set", f"scope={scope},watchNamespaces={{team-a}}") if "Role" in one["kind"]]
        rules = [(one, rule) for one in roles for rule in one.get("rules", ()) if "leases" in rule["resources"]]
        writing = [(one, rule) for one, rule in rules if {*rule["verbs"]} - {"list", "watch"}]
        assert {(one["kind"], one["metadata"]["namespace"]) for one, _ in writing} == {("Role", "default")}
        unnamed = [rule["verbs"] for _, rule in writing if rule.get("resourceNames") != ["trial"]]
        assert unnamed == [["create"]]


def test_a_namespaced_installation_is_in_its_namespaces_alone(teams: Cluster) -> None:
    lines = teams.kubectl("api-resources", "--namespaced=true", "--no-headers").splitlines()
    kinds = {line.split()[-1] for line in lines} | {"ServiceMonitor"}
    every = (
        "scope=namespaced,watchNamespaces={team-a},replicas=2,networkPolicy.enabled=true,serviceMonitor.enabled=true"
    )
    objects = rendered("--set", every, "--set", "kueue.readWorkloads=Always,crds.enabled=true,userRoles.create=true")
    assert {one["kind"] for one in objects} <= kinds
    assert {one["metadata"].get("namespace", "default") for one in objects} == {"default", "team-a"}


def test_scope_none_has_what_all_namespaces_share_and_no_operator() -> None:
    objects = rendered("--set", "scope=none,replicas=2,networkPolicy.enabled=true,serviceMonitor.enabled=true")
    assert {one["kind"] for one in objects} == {"CustomResourceDefinition", "ClusterRole"}


@pytest.mark.parametrize("version", ["0.1.0+3f2a9c0d1e5b", "0.1.0-rc.1+git.3f2a", f"0.1.0+{'a' * 45}-bcdef", "1.0.0"])
def test_any_chart_version_gives_valid_labels_and_image_tags(version: str, tmp_path: Path, cluster: Cluster) -> None:
    chart = Path(shutil.copytree(CHART, tmp_path / "chart"))
    description = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump({**description, "version": version, "appVersion": version}))
    text = helm("template", "trial", str(chart), "--namespace", "default")
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", text=text)
    tag = "0.1.0_3f2a9c0d1e5b" if version.endswith("e5b") else version.replace("+", "_")
    assert f"/stage-cpu:{tag}\n" in text


def test_the_operators_pod_passes_pod_security_restricted(namespace: Namespace) -> None:
    namespace.cluster.kubectl("label", "namespace", namespace.name, "pod-security.kubernetes.io/enforce=restricted")
    namespace.cluster.kubectl("-n", namespace.name, "create", "serviceaccount", "trial")
    (deployment,) = (one for one in rendered() if one["kind"] == "Deployment")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator", "namespace": namespace.name}}
    body = yaml.safe_dump(pod | {"spec": deployment["spec"]["template"]["spec"]})
    assert "created" in namespace.cluster.kubectl("create", "--dry-run=server", "-f", "-", text=body)
