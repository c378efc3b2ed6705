"""The requests that the operator sends to an API server, except for the watches, which are kopf's.

Verbs and objects, which the chart's Role allows besides the watches: get and list SelfAlignRuns, patch their status;
list, create and delete Jobs; list pods; get and create ConfigMaps; list and create Events; list Kueue Workloads; get,
create and update one Lease. Secrets are never read.

Objects stay plain dictionaries instead of the typed models of the `kubernetes` package: the operator reads a few fields
of each, and typed models drop fields that are newer than the package. Reads go to the API server, not to an informer
cache: without `resourceVersion` a get or list is the most recent state, so a Job that the previous reconcile created is
always included. A cache could miss it for a moment (https://kubernetes.io/docs/reference/using-api/api-concepts/).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import urllib3
from kubernetes.client import ApiClient, ApiException, Configuration
from kubernetes.config import load_incluster_config, load_kube_config
from kubernetes.config.config_exception import ConfigException

from selfalign_operator.api.run import GROUP, VERSION
from selfalign_operator.cluster import kueue
from selfalign_operator.cluster.availability import Availability, is_outage
from selfalign_operator.cluster.server_clock import ServerClock
from selfalign_operator.schemas.crd import PLURAL

Object = dict[str, Any]
"""A Kubernetes object as decoded JSON."""
RunKey = tuple[str, str]
"""Namespace and name of a SelfAlignRun: what watches, work queue and metrics identify a run by."""

FIELD_MANAGER = "selfalign-operator"
"""Owner of the status fields in server-side apply (metadata.managedFields)."""
APPLY = "application/apply-patch+yaml"
"""Content type of server-side apply. JSON is a subset of YAML, so the body is JSON."""
MERGE = "application/merge-patch+json"
"""Content type of a JSON merge patch."""
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""Accept header that leaves specs and statuses out of a list: an audit of all runs stays small."""
TIMEOUT_SECONDS = 30
"""Limit on one request. Longer than an API server under load needs, shorter than a reconcile may hang unnoticed."""

COLLECTIONS = {
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Event": "/api/v1/namespaces/{}/events",
}
"""Collection path of every kind that `Client.create` accepts; `{}` is the namespace."""
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"


class ApiError(Exception):
    """The API server rejected a request, or did not respond.

    Attributes:
        code: the HTTP status; 0 if there was no response, or the request was not sent because the Lease is lost.
        retry_after: seconds that a busy server wants the client to wait (Retry-After, RFC 9110); 0 if it sent none.
    """

    def __init__(self, code: int, message: str, *, retry_after: float = 0) -> None:
        super().__init__(message)
        self.code, self.retry_after = code, retry_after


class Client:
    """Sends blocking requests over one connection pool. Called from worker threads, never from the event loop.

    Every method raises `ApiError` unless its docstring names an exception to that.

    Args:
        connection: the authenticated connection of the `kubernetes` package.
        may_write: evaluated before each write; while it returns False, writes raise `ApiError` with code 0. Leader
            election uses it, so that an operator that lost its Lease stops in the middle of a reconcile.
        availability: receives whether the API server answers; None for no receiver.
        timeout_seconds: limit on one request.
        clock: follows the dates of the responses.
    """

    _workloads_path: str | None = None
    """Where Kueue's Workloads are served, once it is known."""

    def __init__(
        self,
        connection: ApiClient,
        may_write: Callable[[], bool] = lambda: True,
        *,
        availability: Availability | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        clock: ServerClock | None = None,
    ) -> None:
        self.connection, self._may_write = connection, may_write
        self._availability, self._timeout_seconds = availability, timeout_seconds
        self.clock = clock or ServerClock()

    def fenced(self, may_write: Callable[[], bool]) -> "Client":
        """Returns a client on the same connection that checks `may_write` before each write."""
        # the same connection pool: fencing is a property of the caller, not of the connection
        return Client(
            self.connection,
            may_write,
            availability=self._availability,
            timeout_seconds=self._timeout_seconds,
            clock=self.clock,
        )

    def get_run(self, namespace: str, name: str) -> Object:
        """Returns a SelfAlignRun, unvalidated: its spec may be of another version of the schema."""
        # with managedFields: a status whose fields other managers own is written otherwise (status_owners)
        return self._request("GET", _run_path(namespace, name))

    def list_run_versions(self, namespaces: Sequence[str]) -> dict[RunKey, str]:
        """Returns the resourceVersion of every run.

        Args:
            namespaces: the namespaces to list; empty means the whole cluster.
        """
        paths = [f"/apis/{GROUP}/{VERSION}/namespaces/{name}/{PLURAL}" for name in namespaces]
        paths = paths or [f"/apis/{GROUP}/{VERSION}/{PLURAL}"]
        # `items` of an empty PartialObjectMetadataList is null, not []
        lists = [self._request("GET", path, accept=METADATA_ONLY)["items"] or () for path in paths]
        entries = [item["metadata"] for items in lists for item in items]
        return {(metadata["namespace"], metadata["name"]): metadata["resourceVersion"] for metadata in entries}

    def list_jobs(self, namespace: str, selector: str) -> list[Object]:
        """Returns the Jobs that match a label selector."""
        return self._list(f"/apis/batch/v1/namespaces/{namespace}/jobs", labelSelector=selector)

    def list_unfinished_jobs(self, namespaces: Sequence[str], selector: str) -> list[Object]:
        """Returns the metadata of Jobs that match a label selector and have not succeeded.

        Args:
            namespaces: the namespaces to list; empty means the whole cluster.
            selector: the label selector.
        """
        paths = [f"/apis/batch/v1/namespaces/{name}/jobs" for name in namespaces] or ["/apis/batch/v1/jobs"]
        query = {"labelSelector": selector, "fieldSelector": "status.successful=0"}
        lists = [self._request("GET", path, query=query, accept=METADATA_ONLY)["items"] or () for path in paths]
        return [item for items in lists for item in items]

    def list_pods(self, namespace: str, selector: str) -> list[Object]:
        """Returns the pods that match a label selector."""
        query = {"labelSelector": selector}
        # with managedFields: their times are the API server's, those in a pod's status are of its node's clock
        pods: list[Object] = self._request("GET", f"/api/v1/namespaces/{namespace}/pods", query=query)["items"]
        return pods

    def get_config_map(self, namespace: str, name: str) -> Object | None:
        """Returns a ConfigMap, or None if it does not exist."""
        return self._get_or_none(f"/api/v1/namespaces/{namespace}/configmaps/{name}")

    def get_lease(self, namespace: str, name: str) -> Object | None:
        """Returns a Lease, or None if it does not exist."""
        return self._get_or_none(f"{_LEASES.format(namespace)}/{name}")

    def list_leases(self, namespaces: Sequence[str], selector: str) -> list[Object]:
        """Returns the Leases that match a label selector in several namespaces; none named means the whole cluster."""
        paths = [_LEASES.format(name) for name in namespaces] or ["/apis/coordination.k8s.io/v1/leases"]
        return [lease for path in paths for lease in self._list(path, labelSelector=selector)]

    def create_lease(self, body: Object) -> Object:
        """Creates a Lease. Raises `ApiError` with code 409 if another operator created it first."""
        return self._request("POST", _LEASES.format(body["metadata"]["namespace"]), body=body)

    def replace_lease(self, body: Object) -> Object:
        """Replaces a Lease that was read before, and returns it as stored.

        Raises:
            ApiError: with code 409 if somebody else has written it since: the body carries the resourceVersion that
                was read, and the API server compares it (optimistic concurrency).
        """
        metadata = body["metadata"]
        return self._request("PUT", f"{_LEASES.format(metadata['namespace'])}/{metadata['name']}", body=body)

    def list_warning_events(self, namespace: str, uid: str) -> list[tuple[str, str]]:
        """Returns reasons and messages of the warning Events about the object with this uid, oldest first."""
        path, selector = f"/api/v1/namespaces/{namespace}/events", f"involvedObject.uid={uid},type=Warning"
        events = self._list(path, fieldSelector=selector)
        # RFC 3339 in UTC sorts as text; an Event of events.k8s.io may have no lastTimestamp and counts as newest
        oldest_first = sorted(events, key=lambda event: str(event.get("lastTimestamp")))
        return [(event.get("reason", ""), event.get("message", "")) for event in oldest_first]

    def get_workload(self, namespace: str, job_uid: str) -> Object | None:
        """Returns Kueue's Workload of a Job, or None if Kueue has not made it yet.

        Raises:
            ApiError: with code 404 where Kueue is not installed, 403 where the Role does not allow it.
        """
        selector = f"kueue.x-k8s.io/job-uid={job_uid}"
        try:
            workloads = self._list(self._workloads().format(namespace), labelSelector=selector)
        except ApiError as error:
            if error.code != 404:
                raise
            self._workloads_path = None  # an upgrade of Kueue removed the version, or Kueue is gone
            workloads = self._list(self._workloads().format(namespace), labelSelector=selector)
        return next(iter(workloads), None)

    def _workloads(self) -> str:
        """Returns the path of Workloads in a version that the API server serves, discovered once."""
        if self._workloads_path is None:
            self._workloads_path = kueue.workloads_path(self._request("GET", kueue.GROUP_PATH))
        return self._workloads_path

    def create(self, body: Object, *, dry_run: bool = False) -> Object:
        """Creates a Job, ConfigMap or Event.

        Args:
            body: the object; its kind is one of `COLLECTIONS`.
            dry_run: runs validation, admission and quota and stores nothing (dryRun=All).

        Returns:
            The object as the API server stored it, defaults included.

        Raises:
            ApiError: 409 if an object of this name exists; 400, 403 or 422 if it is malformed, forbidden or invalid.
        """
        kind, namespace = body["kind"], body["metadata"]["namespace"]
        # a dry run passes admission webhooks, too; one that does not declare support for it fails the request (400)
        query = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry_run else {})
        return self._request("POST", COLLECTIONS[kind].format(namespace), query=query, body=body)

    def delete_job(self, namespace: str, name: str, *, uid: str, resource_version: str | None = None) -> None:
        """Deletes a Job and its pods.

        The Job stays with a deletionTimestamp until its pods have ended (foreground deletion), so that a replacement
        never runs beside the pods that it replaces. A Job that is gone already is no error.

        Args:
            namespace: namespace of the Job.
            name: name of the Job.
            uid: precondition: a Job of the same name that was created in the meantime is not deleted.
            resource_version: precondition: a Job that has changed since it was read is not deleted. None: it may have.
        """
        preconditions = {"uid": uid} | ({"resourceVersion": resource_version} if resource_version else {})
        body = {"propagationPolicy": "Foreground", "preconditions": preconditions}
        try:
            self._request("DELETE", f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}", body=body)
        except ApiError as error:
            if error.code not in (404, 409):  # 404: already deleted; 409: a precondition
                raise

    def apply_status(self, namespace: str, name: str, status: Mapping[str, Any]) -> Object:
        """Sets the status of a run by server-side apply.

        Args:
            namespace: namespace of the run.
            name: name of the run.
            status: the whole status. Fields that the last apply set and this one leaves out are removed.
        """
        metadata = {"name": name, "namespace": namespace}
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "SelfAlignRun",
            "metadata": metadata,
            "status": dict(status),
        }
        # force: no other manager has business in the status, so conflicts are resolved in favour of the operator
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return self._request("PATCH", f"{_run_path(namespace, name)}/status", query=query, body=body, content=APPLY)

    def merge_status(self, namespace: str, name: str, patch: Mapping[str, Any], *, version: str) -> None:
        """Changes the status of a run by a JSON merge patch (RFC 7386).

        Args:
            namespace: namespace of the run.
            name: name of the run.
            patch: changes within the status.
            version: resourceVersion that the patch was made for.

        Raises:
            ApiError: with code 409 if the run has been written since.
        """
        body = {"metadata": {"resourceVersion": version}, "status": dict(patch)}
        query = {"fieldManager": FIELD_MANAGER}
        self._request("PATCH", f"{_run_path(namespace, name)}/status", query=query, body=body, content=MERGE)

    def _list(self, path: str, **query: str) -> list[Object]:
        return [_without_managers(item) for item in self._request("GET", path, query=query)["items"]]

    def _get_or_none(self, path: str) -> Object | None:
        try:
            return self._request("GET", path)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        """Sends one request and returns the decoded response; the only place that checks `may_write`."""
        # reads are never fenced: an operator without the Lease may be behind, but it does no harm
        if method != "GET" and not self._may_write():
            raise ApiError(0, f"{method} {path} was not sent: this operator no longer holds the Lease")
        headers = {"Accept": accept} | ({"Content-Type": content} if body is not None else {})
        try:
            # call_api instead of the generated methods: they would decode into typed models
            response = self.connection.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=self._timeout_seconds,
            )
            data = response.data  # read here: a connection may break in the middle of a response
        except ApiException as error:
            failure = ApiError(error.status or 0, _message(error), retry_after=_retry_after(error))
            self._record(f"{method} {path}", failure)
            raise failure from error
        # a lost response leaves open whether a write took effect; the next reconcile reads what happened
        except (urllib3.exceptions.HTTPError, OSError) as error:
            failure = ApiError(0, f"{method} {path}: no response from the API server: {reason_of(error)}")
            self._record(f"{method} {path}", failure)
            raise failure from error
        self._record(f"{method} {path}", None)
        self.clock.record(response.headers.get("Date"))
        decoded: Object = json.loads(data)
        return decoded

    def _record(self, request: str, failure: ApiError | None) -> None:
        if self._availability is None:
            return
        if failure is None or not is_outage(failure.code):
            self._availability.responded()
        else:
            self._availability.failed(failure.code, f"{request}: {failure}" if failure.code else str(failure))


def connect(availability: Availability | None = None, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Client:
    """Connects with the pod's service account, or with the current kubeconfig context outside a cluster.

    Every call makes a connection pool of its own.

    Args:
        availability: receives whether the API server answers.
        timeout_seconds: limit on one request.
    """
    # in this order: a pod may have a kubeconfig mounted for other purposes
    try:
        load_incluster_config()
    except ConfigException:
        load_kube_config()
    configuration = Configuration.get_default_copy()
    # Only for a connection that the server has closed while it was idle. Whoever sent a request repeats it later; three
    # attempts at once, urllib3's default, triple the load on a server in trouble, with a log line for each.
    configuration.retries = urllib3.Retry(total=1, connect=0, read=1, redirect=0, status=0, other=0)
    return Client(ApiClient(configuration), availability=availability, timeout_seconds=timeout_seconds)


def _without_managers(body: Object) -> Object:
    """Drops metadata.managedFields: nobody reads it, and it is a third of an object."""
    body.get("metadata", {}).pop("managedFields", None)
    return body


def reason_of(error: Exception) -> str:
    """Returns why a request has no response: urllib3 wraps it in a message about its retries, of which there are none.

    Args:
        error: what urllib3 raised.
    """
    return str(getattr(error, "reason", None) or error)


def _run_path(namespace: str, name: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}"


def _retry_after(error: ApiException) -> float:
    # RFC 9110 also allows a date; the API server's priority and fairness sends seconds
    seconds = (error.headers or {}).get("Retry-After", "")
    return float(seconds) if seconds.isdigit() else 0


def _message(error: ApiException) -> str:
    """Returns `message` of the metav1.Status body, or the HTTP reason if there is no such body."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
