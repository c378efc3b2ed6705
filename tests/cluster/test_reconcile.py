"""What one reconcile reads, creates and writes on a real API server."""

import copy
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml
from tests.cluster.conftest import ROOT
from tests.cluster.control_plane import wait_for
from tests.cluster.in_process import InProcessOperator, client_of
from tests.cluster.namespace import OWN_SUITES, Namespace
from tests.cluster.pretend_node import Ending, pretend_node, publish

from selfalign_operator.cluster.client import ApiError, Client, Object
from selfalign_operator.cluster.reconcile import BLOCKED_SECONDS, RESYNC_SECONDS
from selfalign_operator.cluster.status_throttle import POLL_SECONDS
from selfalign_operator.jobs.identity import STEP
from selfalign_operator.jobs.pod import PORT
from selfalign_stages import progress_server
from selfalign_stages.step.progress import ProgressMeter

pytestmark = pytest.mark.slow


@pytest.fixture
def operator(namespace: Namespace) -> InProcessOperator:
    return InProcessOperator(namespace, client_of(namespace))


def steps(namespace: Namespace) -> list[str]:
    return [job["metadata"]["labels"][STEP] for job in namespace.jobs()]


def versions(namespace: Namespace) -> dict[str, str]:
    """What the operator wrote: resourceVersions; uid and generation of Jobs, whose status is not its own."""
    objects = namespace.get("sar,jobs,configmaps,events")["items"]
    written = {}
    for one in objects:
        kind, metadata = one["kind"], one["metadata"]
        if kind == "Job":
            written[f"Job/{metadata['name']}"] = f"{metadata['uid']} {metadata['generation']}"
        elif kind == "SelfAlignRun" or "selfalign.dev/run" in metadata.get("labels", {}) or _about_a_run(one):
            written[f"{kind}/{metadata['name']}"] = metadata["resourceVersion"]
    return written


def _about_a_run(event: dict[str, Any]) -> bool:
    return bool(event.get("involvedObject", {}).get("kind") == "SelfAlignRun")


def stays_running(step: str, pod: dict[str, Any]) -> Ending | None:
    """Preflight ends well; every other pod goes on."""
    return publish(step, pod) if step == "preflight" else None


def test_the_first_reconcile_creates_the_preflight_job_and_says_so(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    namespace.apply()
    assert operator.reconcile() == POLL_SECONDS
    assert steps(namespace) == ["preflight"]
    status = namespace.status()
    assert status["phase"] == "Preflight" and status["observedGeneration"] == 1
    (job,) = namespace.jobs()
    assert status["preflight"]["jobName"] == job["metadata"]["name"]
    assert job["metadata"]["ownerReferences"][0]["uid"] == namespace.get("sar", "trial")["metadata"]["uid"]


def test_a_reconcile_of_an_unchanged_cluster_writes_nothing(namespace: Namespace, operator: InProcessOperator) -> None:
    namespace.apply()
    operator.reconcile()
    before = versions(namespace)
    operator.reconcile()
    assert versions(namespace) == before
    restarted = InProcessOperator(namespace, client_of(namespace))
    restarted.reconcile()
    assert versions(namespace) == before


def test_reconciles_alone_bring_a_run_to_ready(namespace: Namespace, operator: InProcessOperator) -> None:
    with pretend_node(namespace.cluster, publish):
        namespace.apply()
        operator.reconcile_until(lambda: namespace.condition("Ready").get("status") == "True")
    requeue_after = operator.reconcile()
    assert requeue_after is not None and 86000 < requeue_after <= 86400, "its Jobs expire after a day"
    operator.ahead = timedelta(days=1, seconds=1)
    operator.reconcile()
    wait_for("its Jobs are gone", lambda: not namespace.jobs())
    assert operator.reconcile() is None, "a run that has ended waits for an edit alone"
    assert not namespace.jobs() and namespace.condition("Ready")["status"] == "True"
    reasons = {event["reason"] for event in namespace.get("events")["items"]}
    assert {"StepStarted", "StepSucceeded", "Ready"} <= reasons
    assert "selfalign_jobs_created_total" in _metrics(operator)


def _metrics(operator: InProcessOperator) -> str:
    from prometheus_client import generate_latest

    return generate_latest(operator.health.registry).decode()


def test_a_run_that_is_gone_is_forgotten(namespace: Namespace, operator: InProcessOperator) -> None:
    namespace.apply()
    operator.reconcile()
    assert 'selfalign_runs{phase="Preflight"} 1.0' in _metrics(operator)
    namespace.cluster.kubectl("-n", namespace.name, "delete", "sar", "trial")
    assert operator.reconcile() is None
    assert 'selfalign_runs{phase="Preflight"} 0.0' in _metrics(operator)


def test_nothing_is_started_for_a_run_that_is_being_deleted(namespace: Namespace, operator: InProcessOperator) -> None:
    namespace.apply()
    patch = ("-n", namespace.name, "patch", "sar", "trial", "--type=merge", "-p")
    namespace.cluster.kubectl(*patch, '{"metadata": {"finalizers": ["example.com/other"]}}')
    namespace.cluster.kubectl("-n", namespace.name, "delete", "sar", "trial", "--wait=false")
    operator.reconcile()
    assert namespace.jobs() == [] and namespace.condition("Ready")["reason"] == "Deleting"
    namespace.cluster.kubectl(*patch, '{"metadata": {"finalizers": null}}')


@pytest.fixture
def looser_schema(namespace: Namespace) -> Iterator[None]:
    """A CRD of another version, which admits any text as a deadline; afterwards the present one again."""
    document = yaml.safe_load((ROOT / "charts/selfalign-operator/files/crd.yaml").read_text())
    looser = copy.deepcopy(document)
    spec = looser["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del spec["properties"]["budget"]["properties"]["deadline"]["pattern"]
    probe = yaml.safe_dump(namespace.manifest("probe", budget={"deadline": "0s"}))

    def install(definition: dict[str, Any], *, admits: bool) -> None:
        kubectl = namespace.cluster.kubectl
        kubectl("apply", "--server-side", "-f", "-", text=json.dumps(definition))
        # The API server takes a new schema into use some time after it has accepted it.
        dry_run = ("apply", "--dry-run=server", "-f", "-")
        wait_for("the schema is in use", lambda: ("created" in kubectl(*dry_run, text=probe, check=False)) is admits)

    install(looser, admits=True)
    yield
    install(document, admits=False)


def test_a_spec_that_only_the_schema_admits_is_refused_by_field(
    namespace: Namespace, looser_schema: None, operator: InProcessOperator
) -> None:
    namespace.apply(budget={"deadline": "0s"})
    assert operator.reconcile() is None
    accepted = namespace.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "InvalidSpec")
    assert namespace.status()["problems"][0]["field"] == "spec.budget.deadline"
    before = versions(namespace)
    operator.reconcile()
    assert versions(namespace) == before and namespace.jobs() == []


def test_a_pack_that_appears_is_copied_before_preflight_mounts_it(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    namespace.apply(principles={"configMapRef": {"name": "ours"}}, stages=OWN_SUITES)
    assert operator.reconcile() is not None
    (problem,) = namespace.status()["problems"]
    assert problem["field"] == "spec.principles.configMapRef.name" and namespace.jobs() == []
    pack = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ours"}, "data": {"pack.yaml": "name: ours"}}
    namespace.cluster.kubectl("-n", namespace.name, "create", "-f", "-", text=json.dumps(pack))
    operator.reconcile()
    (copy,) = [one for one in namespace.get("configmaps")["items"] if one["metadata"]["name"].startswith("trial-pack-")]
    assert copy["immutable"] and copy["data"] == pack["data"]
    (job,) = namespace.jobs()
    volumes = {volume["name"]: volume for volume in job["spec"]["template"]["spec"]["volumes"]}
    assert volumes["pack"]["configMap"]["name"] == copy["metadata"]["name"]


def test_a_template_that_the_api_server_refuses_is_a_problem_of_its_field(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    namespace.apply(podDefaults={"template": {"spec": {"restartPolicy": "Always"}}})
    operator.reconcile()
    (problem,) = namespace.status()["problems"]
    assert problem["field"] == "spec.podDefaults.template" and "restartPolicy" in problem["message"]
    assert namespace.jobs() == []


def test_a_job_over_quota_is_tried_again_until_there_is_room(namespace: Namespace, operator: InProcessOperator) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": {"count/jobs.batch": "0"}},
    }
    namespace.cluster.kubectl("-n", namespace.name, "create", "-f", "-", text=json.dumps(quota))
    namespace.apply()
    operator.reconcile_until(lambda: namespace.condition("Reconciling").get("reason") == "JobRefused")
    assert operator.reconcile() == BLOCKED_SECONDS
    assert "exceeded quota" in namespace.condition("Reconciling")["message"] and namespace.jobs() == []
    namespace.cluster.kubectl("-n", namespace.name, "delete", "resourcequota", "none")
    operator.reconcile_until(lambda: steps(namespace) == ["preflight"])
    assert namespace.condition("Reconciling")["reason"] == "Preflight"


def test_suspending_a_run_deletes_the_job_that_runs(namespace: Namespace, operator: InProcessOperator) -> None:
    with pretend_node(namespace.cluster, stays_running):
        namespace.apply()
        operator.reconcile_until(lambda: "import" in steps(namespace))
        namespace.apply(suspend=True)
        operator.reconcile_until(lambda: "import" not in steps(namespace))
    operator.reconcile_until(lambda: namespace.status()["phase"] == "Suspended")
    assert operator.reconcile() in (None, RESYNC_SECONDS)


@pytest.fixture
def working_pod() -> Iterator[ProgressMeter]:
    """The progress endpoint of a pod, on an address that only this machine has."""
    meter = ProgressMeter()
    meter.begin(10, unit="bytes")
    server = progress_server.serve(meter, step="import", host="127.0.53.1", port=PORT)
    yield meter
    server.shutdown()
    server.server_close()


def test_progress_is_written_no_more_often_than_it_is_polled(
    namespace: Namespace, operator: InProcessOperator, working_pod: ProgressMeter
) -> None:
    with pretend_node(namespace.cluster, stays_running):
        namespace.apply()
        operator.reconcile_until(lambda: _state(namespace, "import") == "Running")
        (pod,) = [one for one in namespace.get("pods")["items"] if one["metadata"]["labels"][STEP] == "import"]
        address = json.dumps({"status": {"podIP": "127.0.53.1", "podIPs": [{"ip": "127.0.53.1"}]}})
        patch = ("patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", "-p", address)
        namespace.cluster.kubectl("-n", namespace.name, *patch)
        working_pod.advance(3)
        operator.ahead += timedelta(seconds=POLL_SECONDS)
        operator.reconcile_until(lambda: _done(namespace) == 3)
        working_pod.advance(4)
        before = versions(namespace)
        assert operator.reconcile() == POLL_SECONDS
        assert versions(namespace) == before, "progress alone waits"
        operator.ahead += timedelta(seconds=POLL_SECONDS)
        operator.reconcile()
        assert _done(namespace) == 7


def _step(namespace: Namespace, name: str) -> dict[str, Any]:
    all_steps = [step for stage in namespace.status().get("stages", ()) for step in stage["steps"]]
    return next((step for step in all_steps if step["name"] == name), {})


def _state(namespace: Namespace, name: str) -> str:
    return str(_step(namespace, name).get("state"))


def _done(namespace: Namespace) -> float | None:
    done: float | None = _step(namespace, "import").get("progress", {}).get("done")
    return done


class RefusesEvents(Client):
    """A client whose API server takes no Events, as in a namespace that is being deleted."""

    def create(self, body: Object, *, dry_run: bool = False) -> Object:
        if body["kind"] == "Event":
            raise ApiError(403, "events is forbidden: namespace is being terminated")
        return super().create(body, dry_run=dry_run)


def test_a_refused_event_does_not_keep_the_status_from_being_written(namespace: Namespace) -> None:
    client = RefusesEvents(client_of(namespace).connection)
    operator = InProcessOperator(namespace, client)
    with pretend_node(namespace.cluster, publish):
        namespace.apply()
        operator.reconcile_until(lambda: namespace.condition("Accepted").get("status") == "True")
    assert namespace.get("events")["items"] == [] or "StepStarted" not in {
        event["reason"] for event in namespace.get("events")["items"]
    }


def test_without_the_lease_nothing_is_written(namespace: Namespace) -> None:
    fenced = client_of(namespace).fenced(lambda: False)
    namespace.apply()
    operator = InProcessOperator(namespace, fenced)
    with pytest.raises(ApiError) as raised:
        operator.reconcile()
    assert raised.value.code == 0
    assert namespace.jobs() == [] and namespace.status() == {"observedGeneration": -1}


def test_templates_are_checked_even_if_preflight_ends_within_the_reconcile_that_started_it(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    """The API server would refuse the Job of a late step; a run that is accepted before that is known fails late."""

    class Slow(Client):
        """Returns from the creation of preflight's Job once that has ended."""

        def create(self, body: Object, *, dry_run: bool = False) -> Object:
            created = super().create(body, dry_run=dry_run)
            if body["kind"] == "Job" and not dry_run:
                name = created["metadata"]["name"]
                wait_for("it has ended", lambda: bool(namespace.get("job", name)["status"].get("succeeded")))
            return created

    operator.client = Slow(operator.client.connection)
    bad = {"spec": {"containers": [{"name": "stage", "env": [{"name": "no=name", "value": "x"}]}]}}
    with pretend_node(namespace.cluster, publish):
        namespace.apply(stages={"packaging": {"template": bad}})
        operator.reconcile()
    assert namespace.condition("Accepted")["status"] == "False"
    assert {problem["field"] for problem in namespace.status()["problems"]} == {"spec.stages.packaging"}
    assert steps(namespace) == ["preflight"]
