"""The operator's process: kopf watches, handlers pull queue, the reconciler looks.

Handlers see every event of runs, their Jobs and pods, and packs; they only say which run to look at. kopf stores
nothing on any object: there is no change handler, daemon or timer, so no annotation and no finalizer either.
"""

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import kopf

from selfalign_operator.api.run import GROUP, VERSION
from selfalign_operator.cluster.client import ApiError, connect
from selfalign_operator.cluster.health import Health
from selfalign_operator.cluster.leadership import RENEWS_SECONDS, Leadership
from selfalign_operator.cluster.reconcile import Reconciler
from selfalign_operator.cluster.watch_audit import WatchAudit
from selfalign_operator.cluster.work_queue import WorkQueue
from selfalign_operator.jobs.identity import RUN, SELECTOR
from selfalign_operator.jobs.job import StageImages
from selfalign_operator.schemas.crd import PLURAL

LOG = logging.getLogger(__name__)
PACK_SELECTOR = f"{GROUP}/pack=true"
"""ConfigMaps with this label are watched, so that an edit of a pack retrains at once; others at the next resync."""


@dataclass(frozen=True)
class Settings:
    """What the chart gives by environment. No namespaces means the whole cluster."""

    images: StageImages
    namespaces: tuple[str, ...] = ()
    health_port: int = 8081
    namespace: str = "default"
    name: str = "selfalign-operator"
    identity: str = "operator"

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Settings":
        """KeyError names what is missing."""
        names = {name: environment[f"SELFALIGN_IMAGE_{name.upper()}"] for name in ("cpu", "generate", "train")}
        policy = environment.get("SELFALIGN_IMAGE_PULL_POLICY", "IfNotPresent")
        namespaces = tuple(filter(None, environment.get("SELFALIGN_NAMESPACES", "").split(",")))
        own = environment.get("SELFALIGN_NAMESPACE", "default")
        return cls(
            StageImages(names, policy),
            tuple(dict.fromkeys((*namespaces, own))) if namespaces else (),  # our Lease is watched, too
            int(environment.get("SELFALIGN_HEALTH_PORT", "8081")),
            own,
            environment.get("SELFALIGN_NAME", "selfalign-operator"),
            # a pod's name: a container that is restarted in its pod leads on at once
            environment.get("SELFALIGN_IDENTITY") or socket.gethostname(),
        )


def registry(queue: WorkQueue, health: Health, audit: WatchAudit) -> kopf.OperatorRegistry:
    """Handlers that only pull queue."""
    found = kopf.OperatorRegistry()
    readers: dict[tuple[str, str], set[str]] = {}  # runs by the pack that they name

    def pull(namespace: str | None, name: str | None) -> None:
        health.record_watch_event()
        if namespace and name:
            queue.add((namespace, name))

    @kopf.on.login(registry=found)
    def login(**given: Any) -> kopf.ConnectionInfo | None:
        account = kopf.login_with_service_account(**given)
        return dataclasses.replace(account, server=_server()) if account else kopf.login_with_kubeconfig(**given)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=found)
    async def on_run(namespace: str | None, name: str, spec: kopf.Spec, meta: kopf.Meta, **_: Any) -> None:
        if namespace:
            audit.record((namespace, name), meta["resourceVersion"])
        pack = spec.get("principles", {}).get("configMapRef", {}).get("name")
        if pack and namespace:
            readers.setdefault((namespace, pack), set()).add(name)
        pull(namespace, name)

    @kopf.on.event("", "v1", "configmaps", registry=found)
    async def on_pack(namespace: str | None, name: str, **_: Any) -> None:
        for run in readers.get((namespace or "", name), ()):
            pull(namespace, run)

    @kopf.on.event("batch", "v1", "jobs", registry=found)
    @kopf.on.event("", "v1", "pods", registry=found)
    async def on_child(namespace: str | None, labels: Mapping[str, str], **_: Any) -> None:
        pull(namespace, labels.get(RUN))

    @kopf.on.event("coordination.k8s.io", "v1", "leases", registry=found)
    async def on_lease(**_: Any) -> None:
        health.record_watch_event()

    return found


def configure(settings: kopf.OperatorSettings, *, lease: str) -> None:
    """Watches that notice when they have gone silent, and see only what is ours."""
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 5
    settings.watching.label_selectors["batch", "v1", "jobs"] = SELECTOR
    settings.watching.label_selectors["", "v1", "pods"] = SELECTOR
    settings.watching.label_selectors["", "v1", "configmaps"] = PACK_SELECTOR
    settings.watching.field_selectors["coordination.k8s.io", "v1", "leases"] = f"metadata.name={lease}"


def _server() -> str:
    """The API server by the address that every pod is given: kopf's own default needs cluster DNS."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


async def serve(settings: Settings) -> None:
    """Runs until SIGTERM, SIGINT, or until another operator has taken over."""
    client, health, over = await asyncio.to_thread(connect), Health(), asyncio.Event()
    leadership = Leadership(client, settings.namespace, settings.name, settings.identity)
    async with aiohttp.ClientSession() as http:
        reconciler = Reconciler(
            client=client.fenced(lambda: leadership.is_leader), images=settings.images, http=http, health=health
        )
        queue = WorkQueue(reconciler.reconcile, health)
        audit = WatchAudit(lambda: client.list_run_versions(settings.namespaces), queue.add, health)
        answering = await health.serve(settings.health_port)
        options = kopf.OperatorSettings()
        configure(options, lease=settings.name)
        ours = [asyncio.create_task(_lead(leadership, queue, health, over)), asyncio.create_task(audit.run(over))]
        for task in ours:
            task.add_done_callback(lambda _: over.set())  # nothing goes on without either of them
        try:
            await _watch(registry(queue, health, audit), options, settings, over)
        finally:
            over.set()
            await asyncio.gather(*ours)
            await answering.cleanup()


async def _watch(
    handlers: kopf.OperatorRegistry, options: kopf.OperatorSettings, settings: Settings, over: asyncio.Event
) -> None:
    """What kopf does, until it is over."""
    ours = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=handlers,
        settings=options,
        clusterwide=not settings.namespaces,
        namespaces=[*settings.namespaces],
        standalone=True,
        identity=cast(Any, settings.identity),  # kopf's own asks for the user's name, which a pod's uid lacks
        stop_flag=over,
    )
    for number in (signal.SIGTERM, signal.SIGINT):  # after kopf, which would tell us only once all tasks have ended
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    await kopf.run_tasks(tasks, ignored=ours)


async def _lead(leadership: Leadership, queue: WorkQueue, health: Health, over: asyncio.Event) -> None:
    """Keeps the Lease or waits for it; an operator that loses it ends, so that it begins anew with nothing in mind."""
    led = False
    while not over.is_set():
        leads = await asyncio.to_thread(leadership.acquire_or_renew)
        if leads and not led:
            LOG.info("%s leads", leadership.identity)
            queue.start()
        if led and not leads:
            LOG.error("%s has lost the lead and ends", leadership.identity)
            over.set()
        led = leads
        health.leads.set(leads)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), RENEWS_SECONDS)
    await queue.shut_down()
    if led:  # and nothing is written any more
        with contextlib.suppress(ApiError):
            await asyncio.to_thread(leadership.release)


def main() -> None:
    """Starts by the environment."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # one line for every event of every object
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Settings.of(os.environ)))


if __name__ == "__main__":
    main()
