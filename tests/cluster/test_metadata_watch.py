"""The watch of Jobs and pods on a real API server: which changes are delivered, and when it begins anew."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from kubernetes import client, config
from tests.cluster.control_plane import wait_for
from tests.cluster.in_process import client_of
from tests.cluster.namespace import Namespace

from selfalign_operator.cluster.availability import Availability
from selfalign_operator.cluster.client import Client, Object, RunKey
from selfalign_operator.cluster.failure_log import FailureLog
from selfalign_operator.cluster.handlers import child_watches
from selfalign_operator.cluster.metadata_watch import MetadataWatch
from selfalign_operator.jobs.identity import MANAGED_BY, RUN, SELECTOR

pytestmark = pytest.mark.slow


@dataclass
class Watched:
    """What a watch has delivered, and how often it has begun at a new state."""

    received: list[Object] = field(default_factory=list)
    enqueued: list[RunKey] = field(default_factory=list)
    synced: int = 0

    def count(self) -> None:
        self.synced += 1


@pytest.fixture
def watched() -> Watched:
    return Watched()


def watch(api: Client, namespace: Namespace, watched: Watched, kind: type[MetadataWatch] = MetadataWatch) -> Any:
    """A started watch of the namespace's Jobs."""
    path = f"/apis/batch/v1/namespaces/{namespace.name}/jobs"
    availability = Availability(FailureLog(logging.getLogger("test.watch")))
    made = kind(api, path, SELECTOR, watched.received.append, watched.count, availability)
    made.start()
    return made


@pytest.fixture
def started(namespace: Namespace, watched: Watched) -> Iterator[MetadataWatch]:
    """A watch that has begun; it ends with the test."""
    made = watch(client_of(namespace), namespace, watched)
    wait_for("it has begun", lambda: watched.synced == 1)
    yield made
    made.stop()


def job(name: str, **labels: str) -> str:
    """A suspended Job, for which no pod is created."""
    container = {"name": "stage", "image": "x"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    metadata = {"name": name, "labels": {"app.kubernetes.io/managed-by": MANAGED_BY, **labels}}
    spec = {"suspend": True, "template": template}
    return json.dumps({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})


def create(namespace: Namespace, name: str, **labels: str) -> None:
    namespace.cluster.kubectl("-n", namespace.name, "create", "-f", "-", text=job(name, **labels))


def names(watched: Watched) -> list[str]:
    return [metadata["name"] for metadata in watched.received]


def test_a_change_is_delivered_as_metadata_alone(
    namespace: Namespace, watched: Watched, started: MetadataWatch
) -> None:
    create(namespace, "one", **{RUN: "trial"})
    wait_for("it is delivered", lambda: "one" in names(watched))
    assert watched.received[0]["labels"][RUN] == "trial" and watched.received[0]["namespace"] == namespace.name
    assert "spec" not in watched.received[0]
    created = len(watched.received)
    namespace.cluster.kubectl("-n", namespace.name, "label", "job", "one", "x=y")
    wait_for("so is a change", lambda: any(one["labels"].get("x") for one in watched.received))
    namespace.cluster.kubectl("-n", namespace.name, "delete", "job", "one", "--wait=false")
    wait_for("and the deletion", lambda: len(watched.received) > created + 1)


def test_what_existed_before_is_not_delivered(namespace: Namespace, watched: Watched) -> None:
    create(namespace, "old")
    made = watch(client_of(namespace), namespace, watched)
    wait_for("it has begun", lambda: watched.synced == 1)
    create(namespace, "new")
    wait_for("the new one is delivered", lambda: "new" in names(watched))
    assert "old" not in names(watched)
    made.stop()


class OldVersion(MetadataWatch):
    """Begins at a version that the API server no longer has."""

    tries = 0

    def _current_version(self) -> str:
        self.tries += 1
        return "1" if self.tries == 1 else super()._current_version()


def test_a_version_that_is_too_old_begins_anew_and_says_so(namespace: Namespace, watched: Watched) -> None:
    namespace.cluster.kubectl("get", "--raw", "/readyz")
    made = watch(client_of(namespace), namespace, watched, OldVersion)
    wait_for("it has begun, perhaps twice", lambda: watched.synced >= 1)
    create(namespace, "one")
    # What exists when the watch begins anew is read then, and not delivered.
    wait_for("it is delivered or read", lambda: "one" in names(watched) or watched.synced == 2)
    create(namespace, "two")
    wait_for("a Job is delivered", lambda: "two" in names(watched))
    made.stop()


def test_a_refused_watch_is_one_line_keeps_nobody_waiting_and_goes_on_once_it_is_allowed(
    namespace: Namespace, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    configuration = client.Configuration.get_default_copy()
    config.load_kube_config(str(namespace.cluster.kubeconfig), client_configuration=configuration)
    api = client.ApiClient(configuration)
    api.set_default_header("Impersonate-User", "nobody")
    made = watch(Client(api), namespace, watched)
    wait_for("nobody waits for it", lambda: watched.synced == 1)
    (line,) = caplog.messages
    assert line.startswith("the API server refuses a watch, GET /apis/batch/v1/namespaces/")
    kubectl = namespace.cluster.kubectl
    kubectl("-n", namespace.name, "create", "role", "jobs", "--verb=list,watch", "--resource=jobs")
    kubectl("-n", namespace.name, "create", "rolebinding", "jobs", "--role=jobs", "--user=nobody")
    wait_for("it has begun", lambda: watched.synced == 2)
    create(namespace, "one")
    wait_for("a Job is delivered", lambda: "one" in names(watched))
    made.stop()


def test_jobs_and_pods_enqueue_the_run_of_their_label(namespace: Namespace, watched: Watched) -> None:
    watches = child_watches(
        lambda: client_of(namespace),
        [namespace.name],
        enqueue=watched.enqueued.append,
        synced=watched.count,
        availability=Availability(FailureLog(logging.getLogger("test.watch"))),
    )
    for one in watches:
        one.start()
    wait_for("both have begun", lambda: watched.synced == 2)
    create(namespace, "none-of-ours")
    create(namespace, "one", **{RUN: "trial"})
    wait_for("its run is enqueued", lambda: (namespace.name, "trial") in watched.enqueued)
    assert set(watched.enqueued) == {(namespace.name, "trial")}
    for one in watches:
        one.stop()
