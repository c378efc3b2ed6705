"""What a run says when the operator itself is refused, on a real API server; every remedy is followed."""

import json
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import yaml
from kubernetes import config
from tests.cluster.control_plane import wait_for
from tests.cluster.in_process import InProcessOperator, client_of
from tests.cluster.namespace import Namespace
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.test_hangs import follow, message, pods, reason, until_pods

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.cluster.client import Client
from selfalign_operator.cluster.decode import decode_run
from selfalign_operator.planning import graph
from selfalign_operator.planning.run_state import preflight_key

pytestmark = pytest.mark.slow
RUNS: dict[str, Any] = {"apiGroups": ["selfalign.dev"], "resources": ["selfalignruns"], "verbs": ["get"]}
STATUS = RUNS | {"resources": ["selfalignruns/status"], "verbs": ["patch"]}
JOBS: dict[str, Any] = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["list", "create", "delete"]}
PODS: dict[str, Any] = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
EVENTS: dict[str, Any] = {"apiGroups": [""], "resources": ["events"], "verbs": ["list", "create"]}
ALL = [RUNS, STATUS, JOBS, PODS, EVENTS]


@pytest.fixture
def operator(namespace: Namespace) -> InProcessOperator:
    return InProcessOperator(namespace, client_of(namespace))


def grant(namespace: Namespace, rules: list[dict[str, Any]]) -> None:
    """Gives the namespace's default ServiceAccount exactly these rights."""
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "few", "namespace": namespace.name}}
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": namespace.name}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "few"}
    objects = [
        kind | {"kind": "Role", "rules": rules},
        kind | {"kind": "RoleBinding", "roleRef": role, "subjects": [subject]},
    ]
    namespace.cluster.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(objects))


def account(namespace: Namespace) -> str:
    """Path of a kubeconfig of the namespace's default ServiceAccount."""
    kubectl = namespace.cluster.kubectl
    wait_for("the account exists", lambda: "default" in kubectl("-n", namespace.name, "get", "sa", check=False))
    document = yaml.safe_load(namespace.cluster.kubeconfig.read_text())
    token = kubectl("-n", namespace.name, "create", "token", "default").strip()
    document["users"] = [{"name": "admin", "user": {"token": token}}]
    path = namespace.cluster.state / f"{namespace.name}.kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return str(path)


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        (JOBS, 'cannot list resource "jobs"'),
        (JOBS | {"verbs": ["create", "delete"]}, 'cannot create resource "jobs"'),
        (PODS, 'cannot list resource "pods"'),
    ],
)
def test_a_missing_right_is_said_and_the_run_goes_on_once_it_is_granted(
    namespace: Namespace, missing: dict[str, Any], says: str
) -> None:
    partly = [missing | {"verbs": ["list"]}] if "create" in says else []
    grant(namespace, [rule for rule in ALL if rule["resources"] != missing["resources"]] + partly)
    operator = InProcessOperator(namespace, Client(config.new_client_from_config(account(namespace))))
    namespace.apply()
    operator.reconcile_until(lambda: reason(namespace) == "MissingRights")
    assert says in message(namespace) and "the Role of the chart" in message(namespace)
    before = namespace.get("sar", "trial")["metadata"]["resourceVersion"]
    operator.reconcile()
    assert namespace.get("sar", "trial")["metadata"]["resourceVersion"] == before
    grant(namespace, ALL)
    operator.reconcile_until(lambda: reason(namespace) == "Preflight" and len(namespace.jobs()) == 1)


def test_without_events_a_run_still_says_that_its_pods_are_refused(namespace: Namespace) -> None:
    namespace.cluster.kubectl("-n", namespace.name, "create", "quota", "none", "--hard=pods=0")
    grant(namespace, [rule for rule in ALL if rule is not EVENTS])
    operator = InProcessOperator(namespace, Client(config.new_client_from_config(account(namespace))))
    namespace.apply()
    operator.reconcile()
    operator.ahead = timedelta(minutes=1)
    operator.reconcile_until(lambda: reason(namespace) == "NoPods")
    assert 'cannot list resource "events"' in message(namespace)
    grant(namespace, ALL)
    operator.reconcile_until(lambda: reason(namespace) == "QuotaExceeded")


@contextmanager
def webhook_down(namespace: Namespace, resource: str) -> Iterator[str]:
    """An admission webhook of which nothing answers; its name."""
    name = f"{namespace.name}.example.com"
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": [resource]}
    here = {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}}
    hook = {
        "name": name,
        "clientConfig": {"url": "https://127.0.0.1:9/"},
        "rules": [rule],
        "namespaceSelector": here,
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 1,
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    body = kind | {"metadata": {"name": name}, "webhooks": [hook]}
    namespace.cluster.kubectl("apply", "-f", "-", text=json.dumps(body))
    probe = ("-n", namespace.name, "create", "job", "probe", "--image=x", "--dry-run=server")
    if resource == "jobs":
        wait_for("Jobs are refused", lambda: "webhook" in namespace.cluster.kubectl(*probe, check=False))
    yield name
    namespace.cluster.kubectl("delete", "validatingwebhookconfiguration", name, "--ignore-not-found")


def test_a_webhook_that_is_down_is_named_and_the_run_goes_on_without_it(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    with webhook_down(namespace, "jobs") as name:
        namespace.apply()
        operator.reconcile_until(lambda: reason(namespace) == "WebhookUnavailable")
        assert name in message(namespace) and "delete its webhook configuration" in message(namespace)
        assert namespace.condition("Accepted")["status"] == "Unknown"
        events = {event["reason"] for event in namespace.get("events")["items"]}
        assert "WebhookUnavailable" in events
    operator.reconcile_until(lambda: len(namespace.jobs()) == 1)
    assert reason(namespace) == "Preflight"


def test_a_webhook_for_events_that_is_down_does_not_keep_the_status_unwritten(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    with webhook_down(namespace, "events"):
        namespace.apply()
        operator.reconcile_until(lambda: reason(namespace) == "Preflight")


def ready_answer(operator: OperatorProcess) -> str:
    try:
        return operator.ask("/readyz")
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"
    except OSError:
        return ""


def test_an_operator_without_a_right_to_its_lease_is_not_ready_and_logs_why(namespace: Namespace) -> None:
    watched = {"verbs": ["get", "list", "watch"]}
    packs: dict[str, Any] = {"apiGroups": [""], "resources": ["configmaps"], "verbs": []}
    rules = [RUNS | watched, JOBS | watched, PODS | watched, packs | watched, STATUS]
    grant(namespace, rules)
    process = OperatorProcess(namespace.cluster, namespace.name, environment={"KUBECONFIG": account(namespace)})
    process.start()
    try:
        wait_for("it says why it is not ready", lambda: "the operator cannot use the Lease" in ready_answer(process))
        assert ready_answer(process).startswith("503")
        lines = [line for line in process.log.read_text().splitlines() if "cannot use the Lease" in line]
        assert len(lines) == 1 and 'resource "leases"' in lines[0]
        leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]}
        grant(namespace, [*rules, leases])
        namespace.apply()
        wait_for("it is ready", lambda: ready_answer(process) == "ok\n")
    finally:
        process.kill()


def test_a_deleted_run_that_a_finalizer_keeps_has_its_pods_stopped_and_names_it(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    namespace.apply()
    until_pods(namespace, operator)
    keep = '{"metadata": {"finalizers": ["backup.example.com/keep"]}}'
    namespace.cluster.kubectl("-n", namespace.name, "patch", "sar", "trial", "--type=merge", "-p", keep)
    namespace.cluster.kubectl("-n", namespace.name, "delete", "sar", "trial", "--wait=false")
    operator.reconcile()
    assert namespace.status()["phase"] == "Deleting"
    assert "finalizer backup.example.com/keep" in message(namespace, "Ready")
    before = namespace.get("sar", "trial")["metadata"]["resourceVersion"]
    wait_for("its pods are gone", lambda: not namespace.jobs() and not pods(namespace, "preflight"))
    operator.reconcile()
    assert namespace.get("sar", "trial")["metadata"]["resourceVersion"] == before
    follow(namespace, "patch selfalignrun")
    assert namespace.get("sar")["items"] == []


def test_jobs_that_an_earlier_run_left_are_named_and_deleted_as_the_message_says(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    namespace.apply()
    operator.reconcile()
    (old,) = namespace.jobs()
    namespace.cluster.kubectl("-n", namespace.name, "delete", "sar", "trial", "--cascade=orphan")
    namespace.apply()
    operator.reconcile_until(lambda: reason(namespace) == "OrphanedJobs")
    assert old["metadata"]["name"] in message(namespace) and len(namespace.jobs()) == 2
    follow(namespace, "delete job")
    operator.reconcile_until(lambda: reason(namespace) == "Preflight")
    (new,) = namespace.jobs()
    assert new["metadata"]["uid"] != old["metadata"]["uid"]


@pytest.mark.parametrize("uid", ["", "9f1b0c3e-0000-4000-8000-000000000000"], ids=["same-run", "another-run"])
def test_a_run_whose_status_another_manager_restored_starts_after_an_edit(
    namespace: Namespace, operator: InProcessOperator, uid: str
) -> None:
    namespace.apply()
    at = "2026-01-01T00:00:00Z"
    met = {"reason": "ImagePushed", "message": "", "observedGeneration": 1, "lastTransitionTime": at}
    conditions = [{"type": one, "status": "True"} | met for one in ("Accepted", "Succeeded", "Ready")]
    image = {"reference": "reg.test/ida@sha256:abc", "digest": "sha256:abc", "short": "ida@sha256:abc"}
    backup = {"observedGeneration": 1, "phase": "Ready", "startTime": at, "completionTime": at, "progress": "100%"}
    run = decode_run(namespace.get("sar", "trial"))
    assert isinstance(run, SelfAlignRun)
    steps = graph.steps(run)
    leaves = {leaf: "sha256:abc" for step in steps for leaf in step.leaves}
    preflight = {"key": preflight_key(run, steps), "attempt": 1, "leaves": leaves}
    backup |= {"conditions": conditions, "image": image, "preflight": preflight}
    backup |= {"runUid": uid} if uid else {}
    restore = ("patch", "sar", "trial", "--subresource=status", "--type=merge", "--field-manager=velero", "-p")
    namespace.cluster.kubectl("-n", namespace.name, *restore, json.dumps({"status": backup}))
    operator.reconcile()
    assert bool(namespace.jobs()) is bool(uid), "a status of another run is not believed"
    namespace.apply(seed=7)
    operator.reconcile_until(lambda: bool(namespace.jobs()))
    operator.reconcile()
    status = namespace.status()
    assert "completionTime" not in status and "image" not in status and status["phase"] == "Preflight"
    before = namespace.get("sar", "trial")["metadata"]["resourceVersion"]
    operator.reconcile()
    assert namespace.get("sar", "trial")["metadata"]["resourceVersion"] == before
