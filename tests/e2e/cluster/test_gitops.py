"""A run in a team's own chart: Helm 4 waits for it by its conditions (kstatus, which Flux reads, too)."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.control_plane import wait_for
from tests.cluster.namespace import Namespace
from tests.e2e.cluster.site import Site
from tests.scale import FULL

from selfalign_operator.api.evaluation import BUILTIN_SUITES
from selfalign_operator.jobs.identity import STEP
from selfalign_stages.pack import loading

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Release:
    """The team's release of one run, `juniper`."""

    site: Site
    namespace: Namespace
    chart: Path

    def upgrade(self, *settings: str, check: bool = True) -> str:
        """What helm says when it has waited until the run is current, or will never be."""
        arguments = ("upgrade", "--install", "team", str(self.chart), "--wait", "--timeout=10m", *settings)
        return self.site.helm("--namespace", self.namespace.name, *arguments, check=check)

    def rollback(self, revision: int) -> str:
        """Back to an earlier revision, waited for."""
        arguments = ("rollback", "team", str(revision), "--wait", "--timeout=10m")
        return self.site.helm("--namespace", self.namespace.name, *arguments)

    def jobs(self) -> Counter[str]:
        """Jobs so far, by step."""
        return Counter(job["metadata"]["labels"][STEP] for job in self.namespace.jobs())

    def image(self) -> str:
        """Digest of the image that is Ready for the run as it stands."""
        run = self.namespace.get("sar", "juniper")
        assert run["status"]["observedGeneration"] == run["metadata"]["generation"]
        assert self.namespace.condition("Ready", "juniper")["status"] == "True"
        return str(run["status"]["image"]["digest"])


@pytest.fixture
def release(site: Site, namespace: Namespace, tmp_path: Path) -> Release:
    """A chart whose values are the run's spec."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": "team", "version": "0.1.0"}))
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({"spec": namespace.manifest()["spec"]}))
    run = "apiVersion: selfalign.dev/v1alpha1\nkind: SelfAlignRun\nmetadata: {name: juniper}\n"
    (tmp_path / "templates" / "run.yaml").write_text(run + "spec: {{ toYaml .Values.spec | nindent 2 }}\n")
    return Release(site, namespace, tmp_path)


def test_helm_waits_for_the_image_an_edit_reruns_what_it_touches_and_a_rollback_nothing(
    release: Release, quickstart: Namespace
) -> None:
    release.upgrade()
    first = release.image()
    assert first == quickstart.status("quickstart")["image"]["digest"]
    assert release.jobs() == {"preflight": 1}
    # under a tag of its own: moving the shared tag would make other runs push their image again
    edit = ("--set", "spec.image.license=MIT", "--set", "spec.image.tag=mit")
    release.upgrade(*edit)
    assert release.image() != first
    edited = {"preflight": 2, "packaging-image": 1, "packaging-push": 1}
    assert release.jobs() == edited
    node_selector = r"spec.podDefaults.template.spec.nodeSelector.kubernetes\.io/os=linux"
    release.upgrade(*edit, "--set", node_selector)
    assert release.jobs() == edited
    release.rollback(1)
    assert release.image() == first
    assert release.jobs() == edited


def pack(namespace: Namespace, files: dict[str, str]) -> None:
    """The run's principle pack, as a ConfigMap whose edits are watched."""
    metadata = {"name": "ours", "namespace": namespace.name, "labels": {"selfalign.dev/pack": "true"}}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": files}
    namespace.cluster.kubectl("apply", "-f", "-", text=yaml.safe_dump(body))


def ready_from(namespace: Namespace, preflight: str) -> dict[str, dict[str, Any]]:
    """Steps by name once the run is Ready from another preflight than that one."""
    wait_for("the edit is seen", lambda: _asked(namespace) not in ("", preflight))
    namespace.wait("Ready", "True", seconds=900)
    return {step["name"]: step for step in _steps(namespace)}


def planned_from(namespace: Namespace, preflight: str) -> dict[str, dict[str, Any]]:
    """Steps by name once another preflight than that one has been accepted and the first step that it needs started."""

    def started() -> bool:
        states = {step["state"] for step in _steps(namespace)}
        return _asked(namespace) not in ("", preflight) and "Running" in states

    wait_for("a step that the edit needs has started", started, seconds=600)
    return {step["name"]: step for step in _steps(namespace)}


def _steps(namespace: Namespace) -> list[dict[str, Any]]:
    return [step for stage in namespace.status()["stages"] for step in stage["steps"]]


def _asked(namespace: Namespace) -> str:
    """The key of the preflight that the run goes by."""
    return str(namespace.status().get("preflight", {}).get("key", ""))


def test_an_edited_principle_reruns_what_reads_it_and_leaves_the_prompts_alone(
    site: Site, namespace: Namespace, quickstart: Namespace
) -> None:
    files = loading.read("builtin://hamlet")
    stages = namespace.spec["stages"]
    suites = [suite.to_dict() for suite in BUILTIN_SUITES["hamlet"]]  # a pack of one's own needs the list
    evaluation = {"suites": suites, **stages["evaluation"], "gates": stages["evaluation"]["gates"][:1]}
    without_cloning = {**stages, "cloning": {"enabled": False}, "evaluation": evaluation}
    image = {**namespace.spec["image"], "repository": f"{site.registry.host}/assistants/edited"}  # the tag moves
    pack(namespace, files)
    namespace.apply(principles={"configMapRef": {"name": "ours"}}, stages=without_cloning, image=image)
    first = ready_from(namespace, "")
    assert {name for name, step in first.items() if step["cache"] == "Miss"} == {
        "evaluation-gate",  # without the cloned model
        "packaging-image",
        "packaging-push",
    }, "a ConfigMap with the files of the built-in pack is the same pack"
    asked = _asked(namespace)
    rule = "counts before telling a sum"
    assert rule in files["principles.yaml"]
    pack(namespace, files | {"principles.yaml": files["principles.yaml"].replace(rule, f"{rule} aloud")})
    second = (ready_from if FULL else planned_from)(namespace, asked)
    left = {name for name, step in second.items() if step["key"] == first[name]["key"]}
    assert left == {name for name in first if name == "import" or name.startswith("redteaming")}
    jobs = Counter(job["metadata"]["labels"][STEP] for job in namespace.jobs())
    if FULL:
        assert set(jobs) == {"preflight", *(first.keys() - left)}
    assert "selfalign-answers" in jobs and not {name for name in left if name in jobs}
    asked = _asked(namespace)
    pack(namespace, files)
    third = ready_from(namespace, asked)
    assert {name: step["digest"] for name, step in third.items()} == {
        name: step["digest"] for name, step in first.items()
    }
    if FULL:
        assert Counter(job["metadata"]["labels"][STEP] for job in namespace.jobs()) == jobs


def test_helm_gives_up_at_once_on_a_run_that_cannot_go_on_and_tells_why(
    release: Release, quickstart: Namespace
) -> None:
    told = release.upgrade("--set", "spec.artifacts.uri=s3://nobody/here", check=False)
    assert "SelfAlignRun" in told and "status: Failed" in told
    assert "spec.artifacts.uri" in told and "nobody" in told
    release.upgrade("--reset-values")
    assert release.image() == quickstart.status("quickstart")["image"]["digest"]
