"""helm upgrade, rollback and uninstall with a run in progress: the same Job goes on, nothing is lost."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.cluster.control_plane import wait_for
from tests.cluster.namespace import Namespace
from tests.e2e.cluster.site import OPERATORS, RELEASE, Site

from selfalign_operator.jobs.identity import STEP

pytestmark = pytest.mark.slow

STEP_IN_PROGRESS = "redteaming-instructions"


@pytest.fixture
def in_progress(namespace: Namespace, site: Site) -> Iterator[Namespace]:
    """A run that is generating instructions, some minutes of work; the operator is installed again afterwards."""
    stages = namespace.spec["stages"]
    many = {**stages, "redTeaming": {**stages["redTeaming"], "prompts": 20_000}}
    namespace.apply("long", seed=1, stages=many, artifacts={**namespace.spec["artifacts"], "uri": "s3://runs/release"})
    wait_for("the step runs", lambda: bool(_running(namespace)), seconds=600)
    yield namespace
    site.install()


def test_the_same_job_survives_upgrade_rollback_and_uninstall(in_progress: Namespace, site: Site) -> None:
    cluster, before = in_progress.cluster, _running(in_progress)
    operator = _operator(site)
    site.install("--set", "podAnnotations.release=second")
    assert _operator(site) != operator
    site.helm("rollback", RELEASE, "1", "--namespace", OPERATORS, "--wait")
    assert _running(in_progress) == before
    site.helm("uninstall", RELEASE, "--namespace", OPERATORS, "--wait")
    done = _done(in_progress)
    assert _running(in_progress) == before
    assert cluster.kubectl("get", "crd", "selfalignruns.selfalign.dev", "-o", "name")
    assert in_progress.status("long")["phase"] == "RedTeaming"
    site.install()
    wait_for("the new operator tells progress", lambda: _done(in_progress) > done, seconds=600)
    assert _running(in_progress) == before
    assert len([job for job in in_progress.jobs() if job["metadata"]["labels"][STEP] == STEP_IN_PROGRESS]) == 1


def test_a_run_deleted_while_no_operator_runs_takes_its_jobs_along_and_leaves_its_artifacts(
    in_progress: Namespace, site: Site
) -> None:
    site.helm("uninstall", RELEASE, "--namespace", OPERATORS, "--wait")
    in_progress.cluster.kubectl("-n", in_progress.name, "delete", "sar", "long")
    wait_for("its Jobs are gone", lambda: not in_progress.jobs())
    wait_for("its pods end", lambda: all("deletionTimestamp" in pod["metadata"] for pod in _pods(in_progress)))
    assert list((site.s3.root / "runs" / "release" / "cas" / "import").iterdir())


@pytest.fixture
def two_replicas(site: Site) -> Iterator[Site]:
    """The operator with a stand-by; a single one again afterwards."""
    site.install("--set", "replicas=2")
    yield site
    site.install()


def test_a_second_replica_takes_over_when_the_first_is_gone(two_replicas: Site, namespace: Namespace) -> None:
    wait_for("there are two", lambda: len(two_replicas.operators()) == 2)
    wait_for("one of them leads", lambda: two_replicas.leader() in two_replicas.operators())
    first = two_replicas.leader()
    gone = ("delete", "pod", first, "--force", "--grace-period=0")
    two_replicas.cluster.kubectl("-n", OPERATORS, *gone)
    # most often the stand-by; the pod that replaces the first may be quicker on a busy machine
    wait_for("another one leads", lambda: two_replicas.leader() in two_replicas.operators() - {first})
    namespace.apply(image={**namespace.spec["image"], "tag": "stand-by"}, suspend=True)
    wait_for("it looks at runs", lambda: namespace.status().get("phase") == "Suspended")


def _pods(namespace: Namespace) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = namespace.get("pods")["items"]
    return found


def _running(namespace: Namespace) -> set[tuple[str, str]]:
    """Uids of the Job and its pod while the step runs."""
    jobs = {job["metadata"]["uid"] for job in namespace.jobs() if job["metadata"]["labels"][STEP] == STEP_IN_PROGRESS}
    pods = namespace.get("pods", "-l", f"{STEP}={STEP_IN_PROGRESS}")["items"]
    alive = {pod["metadata"]["uid"] for pod in pods if pod["status"].get("phase") == "Running"}
    return {(job, pod) for job in jobs for pod in alive}


def _operator(site: Site) -> str:
    return site.cluster.kubectl("-n", OPERATORS, "get", "pods", "-o", "jsonpath={.items[0].metadata.uid}")


def _done(namespace: Namespace) -> float:
    """How far the step is as the run tells it."""
    stages: list[dict[str, Any]] = namespace.status("long")["stages"]
    found = {step["name"]: step for stage in stages for step in stage["steps"]}[STEP_IN_PROGRESS]
    return float(found.get("progress", {}).get("done", 0))
