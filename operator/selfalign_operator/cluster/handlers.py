"""kopf's handlers and settings: turn watch events into keys of the work queue.

kopf is used for its watches only: credentials, reconnecting, resourceVersions. Jobs and pods, of which there are some
twenty times as many as runs, have watches of their own, without objects (metadata_watch). kopf's change handlers,
daemons and timers are not used, because they keep their state in annotations and finalizers of the watched objects. A
finalizer would keep users from deleting a run while the operator is down, and an annotation would be a write of the
operator on an object that belongs to the user.

Handlers take no more than the identity of a run from an event, whose object may be outdated by the time that it is
handled; the reconciler reads the current state.

Access to the API server: list and watch SelfAlignRuns, Jobs, pods, ConfigMaps with the pack label, and one Lease.
"""

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import kopf

from selfalign_operator.api.run import GROUP, VERSION
from selfalign_operator.cluster.availability import Availability
from selfalign_operator.cluster.client import Client, Object, RunKey
from selfalign_operator.cluster.health import Health
from selfalign_operator.cluster.kopf_storage import NoDiffBase, NoProgress
from selfalign_operator.cluster.metadata_watch import MetadataWatch
from selfalign_operator.cluster.pack_users import PackUsers
from selfalign_operator.cluster.watch_audit import WatchAudit
from selfalign_operator.cluster.work_queue import WorkQueue
from selfalign_operator.jobs.identity import RUN, SELECTOR
from selfalign_operator.schemas.crd import PLURAL

PACK_SELECTOR = f"{GROUP}/pack=true"
"""Label of ConfigMaps that are watched, so that an edit of a principle pack is noticed at once. Watching all ConfigMaps
of a cluster would cost far more memory and traffic; packs without the label are read at the next resync."""
WATCH_SERVER_SECONDS, WATCH_CLIENT_SECONDS, WATCH_CONNECT_SECONDS = 300, 330, 5
"""The API server ends a watch after the first; the client gives it up after the second, in case the end got lost."""
LIST_CHUNK = 100
"""Objects in one response of a list. Without chunks, the list of a thousand runs takes 100 MB to decode."""
WORKER_SECONDS = 0.5
"""How long kopf keeps the task and the last event of an object after that event."""
CHILDREN = ("/apis/batch/v1/{}jobs", "/api/v1/{}pods")
"""Collections whose objects belong to a run by their label; `{}` is empty or namespaces/NAME/."""


class Backoffs:
    """Seconds between kopf's attempts at a request, without an end: its watches have to outlast any outage.

    With a list, which is kopf's default, the operator ends after a minute of 5xx responses, and the kubelet restarts it
    ever more slowly. Iterated anew for each request.
    """

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1.0, 2.0, 4.0), itertools.repeat(8.0))


def registry(queue: WorkQueue, health: Health, audit: WatchAudit) -> kopf.OperatorRegistry:
    """Builds the handlers.

    Args:
        queue: receives the key of every run that an event concerns.
        health: records that the watches deliver events.
        audit: records the resourceVersions of runs.
    """
    handlers = kopf.OperatorRegistry()
    # run -> its uid; a deleted run is dropped
    runs: dict[RunKey, str] = {}
    pack_users = PackUsers()

    def enqueue(namespace: str | None, name: str | None) -> None:
        """Adds a run to the queue; objects that name no run only prove that the watch works."""
        health.record_watch_event()
        if namespace and name:
            key: RunKey = (namespace, name)
            queue.add(key)

    @kopf.on.login(registry=handlers)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        """Uses the pod's service account, or kubeconfig outside a cluster, in the same order as `client.connect`."""
        account = kopf.login_with_service_account(**kwargs)
        return dataclasses.replace(account, server=_server()) if account else kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    async def on_run(
        type: str | None, namespace: str | None, name: str, spec: kopf.Spec, meta: kopf.Meta, **_: Any
    ) -> None:
        """Enqueues the run. Deletions arrive here, too: the reconciler then reads 404 and forgets the run."""
        key: RunKey = (namespace or "", name)
        if type != "DELETED":
            audit.record(key, meta["resourceVersion"])
            runs[key] = meta["uid"]
            pack_users.record(key, spec.get("principles", {}).get("configMapRef", {}).get("name"))
        elif runs.get(key) == meta["uid"]:  # and not yet a new run of the same name
            audit.forget(key)
            pack_users.record(key, None)
            del runs[key]
        enqueue(namespace, name)

    @kopf.on.event("", "v1", "configmaps", registry=handlers)
    async def on_pack(namespace: str | None, name: str, **_: Any) -> None:
        """Enqueues the runs that use the pack; other ConfigMaps with the label are ignored."""
        health.record_watch_event()
        for run in pack_users.of(namespace or "", name):
            queue.add((namespace or "", run))

    @kopf.on.event("coordination.k8s.io", "v1", "leases", registry=handlers)
    async def on_lease(**_: Any) -> None:
        """Records only that a watch works. The Lease changes every few seconds, even where nobody edits anything."""
        health.record_watch_event()

    return handlers


def child_watches(
    connect: Callable[[], Client],
    namespaces: Sequence[str],
    *,
    enqueue: Callable[[RunKey], None],
    synced: Callable[[], None],
    availability: Availability,
) -> list[MetadataWatch]:
    """Returns the watches of Jobs and pods, not started.

    Args:
        connect: makes a client; each watch has its own, since its connection is never free.
        namespaces: the namespaces to watch; empty means the whole cluster.
        enqueue: called in the thread of a watch with the run that a changed Job or pod belongs to.
        synced: called in the thread of a watch whenever it has begun at a new state (MetadataWatch).
        availability: receives the requests that fail.
    """

    def received(metadata: Object) -> None:
        """By the label: a Job or pod without it is none of the operator's."""
        run = metadata.get("labels", {}).get(RUN)
        if run:
            enqueue((metadata["namespace"], run))

    scopes = [f"namespaces/{namespace}/" for namespace in namespaces] or [""]
    paths = [collection.format(scope) for collection in CHILDREN for scope in scopes]
    return [MetadataWatch(connect(), path, SELECTOR, received, synced, availability) for path in paths]


def configure(settings: kopf.OperatorSettings, *, lease: str) -> None:
    """Restricts kopf to watching, and the watches to the operator's own objects.

    Args:
        settings: kopf's settings, changed in place.
        lease: name of the operator's Lease, the only one that is watched.
    """
    settings.scanning.disabled = True  # no watch of namespaces and CustomResourceDefinitions, hence no right to them
    settings.peering.standalone = True  # leader election uses a Lease; peering would need a resource of kopf's own
    settings.posting.enabled = False  # kopf's log lines do not become Events on users' runs
    settings.watching.server_timeout = WATCH_SERVER_SECONDS
    settings.watching.client_timeout = WATCH_CLIENT_SECONDS
    settings.watching.connect_timeout = WATCH_CONNECT_SECONDS
    settings.watching.chunk_size = LIST_CHUNK
    settings.queueing.idle_timeout = WORKER_SECONDS
    settings.networking.error_backoffs = Backoffs()
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.watching.label_selectors["", "v1", "configmaps"] = PACK_SELECTOR
    settings.watching.field_selectors["coordination.k8s.io", "v1", "leases"] = f"metadata.name={lease}"


def _server() -> str:
    """URL of the API server from the variables that the kubelet sets in every pod; kopf's default needs cluster DNS."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
