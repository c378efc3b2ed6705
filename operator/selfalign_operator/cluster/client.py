"""The few requests that the operator makes of an API server. Besides kopf's watches nothing else talks to one."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException

from selfalign_operator.api.run import GROUP, VERSION
from selfalign_operator.schemas.crd import PLURAL

Object = dict[str, Any]
FIELD_MANAGER = "selfalign-operator"
APPLY = "application/apply-patch+yaml"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""Lists without specs and statuses."""
TIMEOUT_SECONDS = 30


class ApiError(Exception):
    """The API server's answer was an error. `code` is the HTTP status, 0 where there was no answer at all.

    `retry_after` is how many seconds it wants to be left alone, as a busy server says (RFC 9110, Retry-After).
    """

    def __init__(self, code: int, message: str, *, retry_after: float = 0) -> None:
        super().__init__(message)
        self.code, self.retry_after = code, retry_after


class Client:
    """Blocking, one connection pool; called from threads. Writes only while `may_write` says so."""

    def __init__(self, connection: client.ApiClient, may_write: Callable[[], bool] = lambda: True) -> None:
        self.connection, self._may_write = connection, may_write

    def fenced(self, may_write: Callable[[], bool]) -> "Client":
        """The same, for somebody who may have to stop writing at any moment."""
        return Client(self.connection, may_write)

    def get_run(self, namespace: str, name: str) -> Object:
        """A SelfAlignRun as it is now."""
        return self._ask("GET", _run_path(namespace, name))

    def list_run_versions(self, namespaces: Sequence[str]) -> dict[tuple[str, str], str]:
        """Resource versions of all runs by namespace and name; no namespaces means the cluster."""
        paths = [f"/apis/{GROUP}/{VERSION}/namespaces/{name}/{PLURAL}" for name in namespaces]
        paths = paths or [f"/apis/{GROUP}/{VERSION}/{PLURAL}"]
        lists = [self._ask("GET", path, accept=METADATA)["items"] or () for path in paths]  # null where there are none
        found = [item["metadata"] for items in lists for item in items]
        return {(one["namespace"], one["name"]): one["resourceVersion"] for one in found}

    def list_jobs(self, namespace: str, selector: str) -> list[Object]:
        """Jobs by label selector."""
        return self._items(f"/apis/batch/v1/namespaces/{namespace}/jobs", labelSelector=selector)

    def list_pods(self, namespace: str, selector: str) -> list[Object]:
        """Pods by label selector."""
        return self._items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=selector)

    def get_config_map(self, namespace: str, name: str) -> Object | None:
        """A ConfigMap, None if there is none."""
        try:
            return self._ask("GET", f"/api/v1/namespaces/{namespace}/configmaps/{name}")
        except ApiError as refused:
            if refused.code == 404:
                return None
            raise

    def get_lease(self, namespace: str, name: str) -> Object | None:
        """A Lease, None if there is none."""
        try:
            return self._ask("GET", f"{_LEASES.format(namespace)}/{name}")
        except ApiError as refused:
            if refused.code == 404:
                return None
            raise

    def create_lease(self, body: Object) -> None:
        """Refused if somebody was faster."""
        self._ask("POST", _LEASES.format(body["metadata"]["namespace"]), body=body)

    def replace_lease(self, body: Object) -> None:
        """Refused if it is not any more what was read."""
        metadata = body["metadata"]
        self._ask("PUT", f"{_LEASES.format(metadata['namespace'])}/{metadata['name']}", body=body)

    def list_warning_events(self, namespace: str, uid: str) -> list[tuple[str, str]]:
        """Reasons and messages of the warning Events about an object, oldest first."""
        path, about = f"/api/v1/namespaces/{namespace}/events", f"involvedObject.uid={uid},type=Warning"
        events = self._items(path, fieldSelector=about)
        told = sorted(events, key=lambda event: str(event.get("lastTimestamp")))
        return [(event.get("reason", ""), event.get("message", "")) for event in told]

    def get_workload(self, namespace: str, job_uid: str) -> Object | None:
        """Kueue's Workload of a Job; None if there is none yet. Refused with 404 where Kueue is not installed."""
        path = f"/apis/kueue.x-k8s.io/v1beta1/namespaces/{namespace}/workloads"
        return next(iter(self._items(path, labelSelector=f"kueue.x-k8s.io/job-uid={job_uid}")), None)

    def create(self, body: Object, *, dry_run: bool = False) -> Object:
        """Creates a namespaced object of one of our kinds."""
        kind, namespace = body["kind"], body["metadata"]["namespace"]
        query = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry_run else {})
        return self._ask("POST", f"{COLLECTIONS[kind].format(namespace)}", query=query, body=body)

    def get_job(self, namespace: str, name: str) -> Object:
        """A Job as it is now."""
        return self._ask("GET", f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}")

    def delete_job(self, namespace: str, name: str, *, uid: str) -> None:
        """Deletes exactly this Job; it stays, marked, until its pods are gone."""
        body = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
        try:
            self._ask("DELETE", f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}", body=body)
        except ApiError as refused:
            if refused.code not in (404, 409):  # gone, or another one of that name: both are what was wanted
                raise

    def apply_status(self, namespace: str, name: str, status: Mapping[str, Any]) -> Object:
        """Makes the status exactly this; fields that we do not name any more are removed."""
        metadata = {"name": name, "namespace": namespace}
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "SelfAlignRun",
            "metadata": metadata,
            "status": dict(status),
        }
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return self._ask("PATCH", f"{_run_path(namespace, name)}/status", query=query, body=body, content=APPLY)

    def _items(self, path: str, **query: str) -> list[Object]:
        items: list[Object] = self._ask("GET", path, query=query)["items"]
        return items

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        if method != "GET" and not self._may_write():
            raise ApiError(0, "another operator leads now: nothing was written")
        headers = {"Accept": accept} | ({"Content-Type": content} if body is not None else {})
        try:
            answer = self.connection.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=TIMEOUT_SECONDS,
            )
        except client.ApiException as error:
            raise ApiError(error.status or 0, _message(error), retry_after=_retry_after(error)) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiError(0, f"no answer from the API server: {error}") from error
        loaded: Object = json.loads(answer.data)
        return loaded


COLLECTIONS = {
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Event": "/api/v1/namespaces/{}/events",
}


_LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"


def connect() -> Client:
    """By the pod's service account, or by kubeconfig outside a cluster."""
    try:
        config.load_incluster_config()
    except ConfigException:
        config.load_kube_config()
    return Client(client.ApiClient())


def _run_path(namespace: str, name: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}"


def _retry_after(error: client.ApiException) -> float:
    told = (error.headers or {}).get("Retry-After", "")
    return float(told) if told.isdigit() else 0


def _message(error: client.ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
