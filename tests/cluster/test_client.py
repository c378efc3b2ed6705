"""The operator's requests against a real API server: results, refusals, and what is not an error."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from kubernetes.client import ApiClient, Configuration
from tests.cluster.in_process import client_of
from tests.cluster.namespace import Namespace
from tests.s3_server import free_port

from selfalign_operator.cluster.client import ApiError, Client

pytestmark = pytest.mark.slow


@pytest.fixture
def client(namespace: Namespace) -> Client:
    return client_of(namespace)


def job(namespace: Namespace, name: str = "one") -> dict[str, Any]:
    container = {"name": "stage", "image": "local.test/cpu:1"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    metadata = {"name": name, "namespace": namespace.name, "labels": {"set": "a"}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}}


def test_runs_are_listed_with_their_versions_by_namespace_and_for_the_cluster(
    namespace: Namespace, client: Client
) -> None:
    assert client.list_run_versions([namespace.name]) == {}
    namespace.apply()
    version = namespace.get("sar", "trial")["metadata"]["resourceVersion"]
    assert client.list_run_versions([namespace.name, "default"])[namespace.name, "trial"] == version
    assert client.list_run_versions([])[namespace.name, "trial"] == version


def test_a_missing_run_is_404_and_missing_config_maps_and_leases_are_none(namespace: Namespace, client: Client) -> None:
    with pytest.raises(ApiError) as raised:
        client.get_run(namespace.name, "absent")
    assert raised.value.code == 404 and "absent" in str(raised.value)
    assert client.get_config_map(namespace.name, "absent") is None
    assert client.get_lease(namespace.name, "absent") is None


def test_a_job_is_created_once_and_a_dry_run_leaves_nothing(namespace: Namespace, client: Client) -> None:
    client.create(job(namespace), dry_run=True)
    assert namespace.jobs() == []
    client.create(job(namespace))
    with pytest.raises(ApiError) as raised:
        client.create(job(namespace))
    assert raised.value.code == 409
    assert [one["metadata"]["name"] for one in client.list_jobs(namespace.name, "set=a")] == ["one"]
    assert client.list_jobs(namespace.name, "set=b") == []


def test_a_malformed_job_is_refused_with_the_servers_own_words(namespace: Namespace, client: Client) -> None:
    broken = job(namespace)
    del broken["spec"]["template"]["spec"]["containers"][0]["image"]
    broken["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    with pytest.raises(ApiError) as raised:
        client.create(broken)
    assert raised.value.code == 422 and "restartPolicy" in str(raised.value)


def test_only_the_job_that_was_read_is_deleted(namespace: Namespace, client: Client) -> None:
    made = client.create(job(namespace))
    client.delete_job(namespace.name, "one", uid="00000000-0000-0000-0000-000000000000")
    (left,) = namespace.jobs()
    assert "deletionTimestamp" not in left["metadata"]
    client.delete_job(namespace.name, "one", uid=made["metadata"]["uid"])
    client.delete_job(namespace.name, "absent", uid=made["metadata"]["uid"])
    assert all("deletionTimestamp" in one["metadata"] for one in namespace.jobs())


def test_a_status_is_exactly_what_was_applied_last(namespace: Namespace, client: Client) -> None:
    namespace.apply()
    client.apply_status(namespace.name, "trial", {"observedGeneration": 1, "phase": "Import", "progress": "3%"})
    client.apply_status(namespace.name, "trial", {"observedGeneration": 1, "phase": "Ready"})
    assert namespace.status() == {"observedGeneration": 1, "phase": "Ready"}


def test_warnings_about_an_object_come_oldest_first_and_without_others(namespace: Namespace, client: Client) -> None:
    for number, (kind, uid) in enumerate([("Warning", "u1"), ("Normal", "u1"), ("Warning", "u2"), ("Warning", "u1")]):
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"e{number}", "namespace": namespace.name},
            "involvedObject": {"kind": "Job", "name": "one", "namespace": namespace.name, "uid": uid},
            "type": kind,
            "reason": f"R{number}",
            "message": "m",
            "lastTimestamp": f"2026-01-01T00:00:0{9 - number}Z",
        }
        client.create(body)
    assert client.list_warning_events(namespace.name, "u1") == [("R3", "m"), ("R0", "m")]


def test_a_fenced_client_reads_and_refuses_to_write(namespace: Namespace, client: Client) -> None:
    namespace.apply()
    may_write = iter([True, False])
    fenced = client.fenced(lambda: next(may_write))
    fenced.create(job(namespace))
    with pytest.raises(ApiError) as raised:
        fenced.create(job(namespace, "two"))
    assert raised.value.code == 0
    assert fenced.get_run(namespace.name, "trial")["metadata"]["name"] == "trial"
    assert [one["metadata"]["name"] for one in namespace.jobs()] == ["one"]


def _client_at(port: int) -> Client:
    configuration = Configuration(host=f"http://127.0.0.1:{port}")
    configuration.retries = False
    return Client(ApiClient(configuration))


def test_a_server_that_does_not_answer_is_code_0() -> None:
    with pytest.raises(ApiError) as raised:
        _client_at(free_port()).get_run("a", "b")
    assert raised.value.code == 0


class Busy(BaseHTTPRequestHandler):
    """A server that asks to be left alone, as an API server under load does."""

    def do_GET(self) -> None:
        body = json.dumps({"message": "too many requests"}).encode() if "json" in self.path else b"<html>"
        self.send_response(429)
        self.send_header("Retry-After", "7")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def busy() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Busy)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.mark.parametrize(("name", "words"), [("json", "too many requests"), ("html", "Too Many Requests")])
def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(busy: int, name: str, words: str) -> None:
    with pytest.raises(ApiError) as raised:
        _client_at(busy).get_run("a", name)
    assert (raised.value.code, raised.value.retry_after) == (429, 7)
    assert words in str(raised.value)
