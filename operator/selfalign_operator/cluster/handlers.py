"""kopf's handlers and settings: turn watch events into keys of the work queue.

kopf is used for its watches only: credentials, reconnecting, resourceVersions. Its change handlers, daemons and timers
are not used, because they keep their state in annotations and finalizers of the watched objects. A finalizer would keep
users from deleting a run while the operator is down, and an annotation would be a write of the operator on an object
that belongs to the user.

Handlers take no more than the identity of a run from an event, whose object may be outdated by the time that it is
handled; the reconciler reads the current state.

Access to the API server: list and watch SelfAlignRuns, Jobs, pods, ConfigMaps with the pack label, and one Lease.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import kopf

from selfalign_operator.api.run import GROUP, VERSION
from selfalign_operator.cluster.client import RunKey
from selfalign_operator.cluster.health import Health
from selfalign_operator.cluster.watch_audit import WatchAudit
from selfalign_operator.cluster.work_queue import WorkQueue
from selfalign_operator.jobs.identity import RUN, SELECTOR
from selfalign_operator.schemas.crd import PLURAL

PACK_SELECTOR = f"{GROUP}/pack=true"
"""Label of ConfigMaps that are watched, so that an edit of a principle pack is noticed at once. Watching all ConfigMaps
of a cluster would cost far more memory and traffic; packs without the label are read at the next resync."""
WATCH_SERVER_SECONDS, WATCH_CLIENT_SECONDS, WATCH_CONNECT_SECONDS = 300, 330, 5
"""The API server ends a watch after the first; the client gives it up after the second, in case the end got lost."""


def registry(queue: WorkQueue, health: Health, audit: WatchAudit) -> kopf.OperatorRegistry:
    """Builds the handlers.

    Args:
        queue: receives the key of every run that an event concerns.
        health: records that the watches deliver events.
        audit: records the resourceVersions of runs.
    """
    handlers = kopf.OperatorRegistry()
    # (namespace, ConfigMap) -> names of the runs that use it. Only grows: a run that has changed its pack is
    # reconciled once too often, which writes nothing.
    runs_by_pack: dict[tuple[str, str], set[str]] = {}

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
    async def on_run(namespace: str | None, name: str, spec: kopf.Spec, meta: kopf.Meta, **_: Any) -> None:
        """Enqueues the run. Deletions arrive here, too: the reconciler then reads 404 and forgets the run."""
        if namespace:
            audit.record((namespace, name), meta["resourceVersion"])
        pack = spec.get("principles", {}).get("configMapRef", {}).get("name")
        if pack and namespace:
            runs_by_pack.setdefault((namespace, pack), set()).add(name)
        enqueue(namespace, name)

    @kopf.on.event("", "v1", "configmaps", registry=handlers)
    async def on_pack(namespace: str | None, name: str, **_: Any) -> None:
        """Enqueues the runs that use the pack; other ConfigMaps with the label are ignored."""
        for run in runs_by_pack.get((namespace or "", name), ()):
            enqueue(namespace, run)

    @kopf.on.event("batch", "v1", "jobs", registry=handlers)
    @kopf.on.event("", "v1", "pods", registry=handlers)
    async def on_child(namespace: str | None, labels: Mapping[str, str], **_: Any) -> None:
        """Enqueues the run that a Job or pod belongs to, by its label."""
        enqueue(namespace, labels.get(RUN))

    @kopf.on.event("coordination.k8s.io", "v1", "leases", registry=handlers)
    async def on_lease(**_: Any) -> None:
        """Records only that a watch works. The Lease changes every few seconds, even where nobody edits anything."""
        health.record_watch_event()

    return handlers


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
    settings.watching.label_selectors["batch", "v1", "jobs"] = SELECTOR
    settings.watching.label_selectors["", "v1", "pods"] = SELECTOR
    settings.watching.label_selectors["", "v1", "configmaps"] = PACK_SELECTOR
    settings.watching.field_selectors["coordination.k8s.io", "v1", "leases"] = f"metadata.name={lease}"


def _server() -> str:
    """URL of the API server from the variables that the kubelet sets in every pod; kopf's default needs cluster DNS."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
