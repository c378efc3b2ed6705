"""Entry point of the operator: `python -m selfalign_operator.cluster.main`, configured by environment variables.

Four tasks share one event loop: kopf's watches, leader election, the watch audit and the health server. Blocking
requests to the API server run in threads, so that a slow response never delays a renewal of the Lease. If one of the
tasks ends, the process ends: the kubelet restarts it from a known state, while half an operator would stay unnoticed.

Access to the API server: none of its own; it wires up the modules that have it.
"""

import asyncio
import contextlib
import logging
import os
import signal
from typing import Any, cast

import aiohttp
import kopf

from selfalign_operator.cluster.client import ApiError, connect
from selfalign_operator.cluster.handlers import configure, registry
from selfalign_operator.cluster.health import Health
from selfalign_operator.cluster.leadership import RETRY_PERIOD_SECONDS, Leadership
from selfalign_operator.cluster.reconcile import Reconciler
from selfalign_operator.cluster.rivals import SELECTOR, Operator, RivalCheck
from selfalign_operator.cluster.settings import Settings
from selfalign_operator.cluster.watch_audit import WatchAudit
from selfalign_operator.cluster.work_queue import WorkQueue

LOG = logging.getLogger(__name__)


async def serve(settings: Settings) -> None:
    """Runs the operator until SIGTERM or SIGINT, or until it loses the Lease. Releases the Lease before it returns."""
    client, health, stopped = await asyncio.to_thread(connect), Health(), asyncio.Event()
    own = _described(settings)
    leadership = Leadership(
        client, settings.namespace, settings.name, settings.identity, lease_metadata=own.lease_metadata()
    )
    rivals = RivalCheck(own, lambda: client.list_leases(settings.namespaces, SELECTOR))
    async with aiohttp.ClientSession() as http:
        # only the reconciler's writes are fenced: the Lease itself is written by candidates, too
        fenced = client.fenced(lambda: leadership.is_leader)
        lease = f"{settings.namespace}/{settings.name}"
        reconciler = Reconciler(client=fenced, images=settings.images, http=http, health=health, operator=lease)
        queue = WorkQueue(reconciler.reconcile, health)
        audit = WatchAudit(lambda: client.list_run_versions(settings.namespaces), queue.add, health)
        health_server = await health.serve(settings.health_port)
        options = kopf.OperatorSettings()
        configure(options, lease=settings.name)
        background = [
            asyncio.create_task(_elect(leadership, queue, health, stopped)),
            asyncio.create_task(audit.run(stopped)),
            asyncio.create_task(rivals.run(stopped)),
        ]
        for task in background:
            task.add_done_callback(lambda _: stopped.set())  # also if it ended with an exception
        try:
            await _watch(registry(queue, health, audit), options, settings, stopped)
        finally:
            # the health server goes last: probes must not fail while the last reconciles end
            stopped.set()
            await asyncio.gather(*background)
            await health_server.cleanup()


def _described(settings: Settings) -> Operator:
    """Returns what this operator writes on its Lease."""
    release, images = f"{settings.namespace}/{settings.name}", sorted({*settings.images.names.values()})
    return Operator(release=release, namespaces=settings.namespaces, images=tuple(images))


async def _watch(
    handlers: kopf.OperatorRegistry, options: kopf.OperatorSettings, settings: Settings, stopped: asyncio.Event
) -> None:
    """Runs kopf until `stopped` is set."""
    background = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=handlers,
        settings=options,
        clusterwide=not settings.namespaces,
        namespaces=[*settings.namespaces],
        standalone=True,
        # kopf's default asks for the user's name, which the random uid of a pod does not have
        identity=cast(Any, settings.identity),
        stop_flag=stopped,
    )
    # after spawn_tasks, which installs kopf's handlers: with those, `stopped` is set only once kopf's tasks have ended
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await kopf.run_tasks(tasks, ignored=background)


async def _elect(leadership: Leadership, queue: WorkQueue, health: Health, stopped: asyncio.Event) -> None:
    """Acquires and renews the Lease, starts the queue once it has it, and stops the operator if it loses it.

    An operator that lost the Lease ends instead of waiting for it: the new process has no state of the old leader.
    """
    was_leader = False
    while not stopped.is_set():
        is_leader = await asyncio.to_thread(leadership.acquire_or_renew)
        if is_leader and not was_leader:
            LOG.info("%s is the leader", leadership.identity)
            queue.start()
        if was_leader and not is_leader:
            LOG.error("%s lost the Lease and stops", leadership.identity)
            stopped.set()
        was_leader = is_leader
        health.leads.set(is_leader)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), RETRY_PERIOD_SECONDS)
    await queue.shut_down()
    if was_leader:  # released only now, after the last reconcile has written
        with contextlib.suppress(ApiError):  # the Lease expires by itself
            await asyncio.to_thread(leadership.release)


def main() -> None:
    """Starts the operator with the settings of the environment."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # kopf logs a line for every event of every object at INFO
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Settings.from_environment(os.environ)))


if __name__ == "__main__":
    main()
