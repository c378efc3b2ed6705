"""Watches the metadata of Jobs or pods, in a thread, and keeps nothing of what it receives.

An event of a Job or pod is used for the labels that name its run; the reconciler reads the rest. kopf decodes whole
objects, keeps a record for each and compares each with its predecessor, which with some twenty Jobs and pods a run is
most of an operator's memory and processor time. Here the API server sends the metadata alone
(https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches), and an event is a callback.

The watch starts at the current state without listing it: at the start of the operator all runs are reconciled anyway.
Whoever uses it waits for `synced` before the first reconcile, so that no change falls between the two.

Access to the API server: list (one object) and watch Jobs or pods.
"""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import urllib3
from kubernetes.client import ApiException

from selfalign_operator.cluster.availability import Availability, is_outage
from selfalign_operator.cluster.client import METADATA_ONLY, ApiError, Client, Object, reason_of

METADATA_EVENTS = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""Accept header of a watch whose events contain metadata alone."""
SERVER_SECONDS, SILENCE_SECONDS, CONNECT_SECONDS = 300, 75.0, 5.0
"""The API server ends a watch after the first, and sends a bookmark about once a minute: after SILENCE_SECONDS without
one the connection is dead, even if nothing has closed it."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 10.0
"""Before the watch is opened again; after failures the pause doubles."""
GONE = 410
"""The API server no longer has the events since the version that a watch asks for."""


@dataclass
class MetadataWatch:
    """Watches one collection in a daemon thread until `stop`.

    Attributes:
        client: sends the requests; its connections are used for nothing else.
        path: of the collection, for example /apis/batch/v1/jobs.
        selector: label selector.
        received: called with the metadata of every object that is added, changed or deleted.
        synced: called whenever the watch has begun at a new state. Changes before that moment are not delivered, so
            everything that depends on them has to be read afterwards. Also called once if the API server refuses the
            watch: whoever waits for it has to go on without.
        availability: receives the requests that fail.
    """

    client: Client
    path: str
    selector: str
    received: Callable[[Object], None]
    synced: Callable[[], None]
    availability: Availability
    _stopped: threading.Event = field(default_factory=threading.Event)
    _response: urllib3.BaseHTTPResponse | None = None
    _refused: bool = False

    def start(self) -> None:
        """Starts the thread."""
        threading.Thread(target=self._run, name=f"watch {self.path}", daemon=True).start()

    def stop(self) -> None:
        """Ends the watch; the thread ends as soon as it notices."""
        self._stopped.set()
        response = self._response
        if response is not None:
            response.shutdown()  # wakes the thread, which may be reading

    def _run(self) -> None:
        version, pause = None, 0.0
        while not self._stopped.wait(pause):
            try:
                if version is None:
                    version = self._current_version()
                    self.synced()
                version = self._follow(version)
                pause = FIRST_PAUSE_SECONDS  # also after an orderly end: a server may end every watch at once
            except ApiError as error:
                self._report(error)
                pause = min(max(2 * pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
                version = None if error.code == GONE else version
            except Exception as error:
                if self._stopped.is_set():
                    return  # reading from a connection that `stop` has closed
                self.availability.failures.failed(f"watch of {self.path} failed", str(error), error=error)
                pause, version = LONGEST_PAUSE_SECONDS, None

    def _report(self, error: ApiError) -> None:
        if is_outage(error.code):
            self.availability.failed(error.code, str(error))
        elif error.code != GONE:
            self.availability.failures.failed(f"the API server refuses a watch, GET {self.path}", str(error))
            if not self._refused:
                self._refused = True
                self.synced()

    def _current_version(self) -> str:
        """The resourceVersion of the collection, from a list of one object."""
        response = self._get({"limit": "1"}, METADATA_ONLY)
        try:
            return str(json.loads(response.data)["metadata"]["resourceVersion"])
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiError(0, f"GET {self.path}: {reason_of(error)}") from error

    def _follow(self, version: str) -> str | None:
        """Delivers events until the watch ends; the version to go on from, None if it is no longer available."""
        query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(SERVER_SECONDS)}
        self._response = response = self._get(query | {"resourceVersion": version}, METADATA_EVENTS)
        try:
            for event in _events(response):
                metadata = event["object"].get("metadata", {})
                if event["type"] == "ERROR":
                    status = event["object"]
                    if status.get("code") == GONE:
                        return None
                    raise ApiError(status.get("code", 500), f"watch of {self.path}: {status.get('message')}")
                version = metadata["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    self.received(metadata)
        except (urllib3.exceptions.HTTPError, OSError):
            pass  # connections of watches break; if the next one fails as well, that one is reported
        finally:
            self._response = None
            response.close()
        return version

    def _get(self, query: dict[str, str], accept: str) -> urllib3.BaseHTTPResponse:
        try:
            response: urllib3.BaseHTTPResponse = self.client.connection.call_api(
                self.path,
                "GET",
                query_params=list((query | {"labelSelector": self.selector}).items()),
                header_params={"Accept": accept},
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=(CONNECT_SECONDS, SILENCE_SECONDS),
            )
        except ApiException as error:
            raise ApiError(error.status or 0, f"GET {self.path}: {error.reason}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiError(0, f"GET {self.path}: {reason_of(error)}") from error
        return response


def _events(response: urllib3.BaseHTTPResponse) -> Iterator[dict[str, Any]]:
    """Decodes the lines of a watch; a line may come in several segments."""
    rest = b""
    for segment in response.stream():
        *lines, rest = (rest + segment).split(b"\n")
        yield from (json.loads(line) for line in lines if line)
