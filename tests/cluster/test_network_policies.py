"""NetworkPolicies of operator and stage pods: what they select, what they allow, and the values that change it.

The pods that they select are real; nothing here enforces a policy, which is the network plugin's part.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.chart import rendered
from tests.cluster.conftest import ROOT
from tests.cluster.control_plane import Cluster
from tests.operator.builders import run

from selfalign_operator.jobs.identity import AttemptId, labels
from selfalign_operator.jobs.pod import PORT

pytestmark = pytest.mark.slow

Policies = dict[tuple[str, str], dict[str, Any]]
"""Specs of policies by namespace and name."""


def policies(*settings: str) -> Policies:
    """The policies of a release named trial in namespace default."""
    found = [one for one in rendered(*settings) if one["kind"] == "NetworkPolicy"]
    return {(one["metadata"]["namespace"], one["metadata"]["name"]): one["spec"] for one in found}


def reachable(spec: dict[str, Any]) -> set[tuple[str, int]]:
    """Protocols and ports of all egress rules; a rule without ports would allow everything and fails here."""
    return {(port["protocol"], port["port"]) for rule in spec["egress"] for port in rule["ports"]}


DNS = {(protocol, port) for protocol in ("TCP", "UDP") for port in (53, 5353)}


def test_they_select_the_operators_pod_and_every_stage_pod() -> None:
    found = policies()
    (deployment,) = (one for one in rendered() if one["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["metadata"]["labels"]
    of_operator, of_stages = (
        found["default", name]["podSelector"]["matchLabels"] for name in ("trial", "trial-stages")
    )
    stage = labels(run(), AttemptId("import", "k" * 64, 1), stage="import")
    assert of_operator.items() <= pod.items() and not of_operator.items() <= stage.items()
    assert of_stages.items() <= stage.items() and not of_stages.items() <= pod.items()


def test_stage_pods_reach_names_and_the_listed_ports_and_nothing_of_the_cloud() -> None:
    spec = policies()["default", "trial-stages"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert reachable(spec) == DNS | {("TCP", port) for port in (443, 5000, 9000)}


def test_the_operator_reaches_names_the_api_server_and_the_progress_of_stage_pods() -> None:
    found = policies()
    spec, stages = found["default", "trial"], found["default", "trial-stages"]
    assert reachable(spec) == DNS | {("TCP", port) for port in (443, 6443, 8443, 16443, PORT)}
    (to_stages,) = (rule for rule in spec["egress"] if "to" in rule)
    assert to_stages["to"][0]["podSelector"] == stages["podSelector"]
    ((peer,),) = (rule["from"] for rule in stages["ingress"])
    assert peer["podSelector"] == spec["podSelector"]
    assert peer["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "default"}}
    assert stages["ingress"][0]["ports"] == [{"protocol": "TCP", "port": PORT}]


@pytest.mark.parametrize(
    ("settings", "namespaces"),
    [
        ("scope=cluster", {"default"}),
        ("networkPolicy.stageNamespaces={team-a,team-b,default}", {"default", "team-a", "team-b"}),
        ("scope=namespaced,watchNamespaces={team-a}", {"default", "team-a"}),
        ("networkPolicy.enabled=false", set()),
    ],
)
def test_stage_pods_have_a_policy_in_the_namespaces_of_the_values(settings: str, namespaces: set[str]) -> None:
    assert {namespace for namespace, name in policies("--set", settings) if name == "trial-stages"} == namespaces


def documented_values() -> str:
    """The example in docs/operator.md, "Network"."""
    text = (ROOT / "docs" / "operator.md").read_text().partition("### Network")[2]
    example = re.search(r"^    networkPolicy:\n(    .*\n)+", text, re.MULTILINE)
    assert example is not None
    return example.group()


def test_the_documented_example_and_every_other_value_change_the_rules(cluster: Cluster, tmp_path: Path) -> None:
    values = yaml.safe_load(documented_values())
    peer = {"namespaceSelector": {"matchLabels": {"team": "metrics"}}}
    proxy = {"to": [{"ipBlock": {"cidr": "10.0.0.7/32"}}], "ports": [{"protocol": "TCP", "port": 3128}]}
    values["networkPolicy"] |= {"metricsFrom": [peer], "operatorEgress": [proxy], "apiServerPorts": [7443]}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    settings = ("--values", str(tmp_path / "values.yaml"))
    found = policies(*settings)
    stages, operator = found["default", "trial-stages"], found["default", "trial"]
    assert reachable(stages) == DNS | {("TCP", port) for port in (443, 8333, 80)}
    assert peer in stages["ingress"][0]["from"] and len(stages["ingress"][0]["from"]) == 2
    assert reachable(operator) == DNS | {("TCP", port) for port in (7443, PORT, 3128)}
    bodies = [one for one in rendered(*settings) if one["kind"] == "NetworkPolicy"]
    dry_run = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
    cluster.kubectl(*dry_run, text=yaml.safe_dump_all(bodies))
