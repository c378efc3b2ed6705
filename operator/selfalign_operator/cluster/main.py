"""Entry point of the operator: `python -m selfalign_operator.cluster.main`, configured by environment variables.

Three tasks share one event loop: kopf's watches, the watch audit and the health server. Blocking requests to the API
server run in threads; leader election and the watches of Jobs and pods have threads of their own. If one of the tasks
or the election ends, the process ends: the kubelet restarts it from a known state, while half an operator would stay
unnoticed.

Access to the API server: none of its own; it wires up the modules that have it.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, cast

import aiohttp
import kopf

from selfalign_operator.cluster.availability import Availability, reported_failures
from selfalign_operator.cluster.client import ApiError, Client, RunKey, connect
from selfalign_operator.cluster.election import Election, LoopProbe
from selfalign_operator.cluster.equal_keys import EqualKeys
from selfalign_operator.cluster.failure_log import FailureLog
from selfalign_operator.cluster.handlers import child_watches, configure, registry
from selfalign_operator.cluster.health import Health
from selfalign_operator.cluster.leadership import REQUEST_SECONDS, Leadership
from selfalign_operator.cluster.reconcile import Reconciler
from selfalign_operator.cluster.rivals import SELECTOR, Operator, RivalCheck
from selfalign_operator.cluster.settings import Settings
from selfalign_operator.cluster.term import Term
from selfalign_operator.cluster.watch_audit import WatchAudit
from selfalign_operator.cluster.work_queue import WorkQueue
from selfalign_operator.jobs.identity import SELECTOR as JOBS

LOG = logging.getLogger(__name__)
DEEPEST_RECURSION = 60_000
"""Six Python frames a level of nesting, more than any function here uses."""


async def serve(settings: Settings) -> None:
    """Runs the operator until SIGTERM or SIGINT, or until another one holds its Lease. Releases the Lease then."""
    failures = FailureLog(LOG)
    availability = Availability(failures)
    with reported_failures(availability):
        client = await asyncio.to_thread(connect, availability)
        lease_client = await asyncio.to_thread(connect, availability, timeout_seconds=REQUEST_SECONDS)
        own = _described(settings)
        leadership = Leadership(
            lease_client, settings.namespace, settings.name, settings.identity, lease_metadata=own.lease_metadata()
        )
        rivals = RivalCheck(own, lambda: client.list_leases(settings.namespaces, SELECTOR))
        async with aiohttp.ClientSession() as http:
            await _serve(settings, client, leadership, rivals, availability, http)


async def _serve(
    settings: Settings,
    client: Client,
    leadership: Leadership,
    rivals: RivalCheck,
    availability: Availability,
    http: aiohttp.ClientSession,
) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    health = Health(last_outage=lambda: availability.last_failure, lease_problem=lambda: leadership.problem)
    # only the reconciler's writes are fenced: the Lease itself is written by candidates, too
    fenced = client.fenced(lambda: leadership.is_leader)
    equal_keys = EqualKeys(wake=lambda key: queue.add(key))
    reconciler = Reconciler(
        client=fenced,
        images=settings.images,
        http=http,
        health=health,
        operator=f"{settings.namespace}/{settings.name}",
        equal_keys=equal_keys,
        clock=fenced.clock.now,
    )
    queue = WorkQueue(
        _after(lambda: _restore(client, settings, equal_keys, queue), reconciler.reconcile),
        health,
        availability.failures,
    )
    audit = WatchAudit(lambda: client.list_run_versions(settings.namespaces), queue.add, health)
    term = Term(leadership, queue, health, audit, stopped)
    watches = child_watches(
        lambda: connect(availability),
        settings.namespaces,
        enqueue=lambda key: _post(loop, queue.add, key),
        synced=lambda: _post(loop, term.synced),
        availability=availability,
    )
    term.unsynced = len(watches)
    election = Election(
        leadership,
        LoopProbe(loop),
        changed=lambda leads: _post(loop, term.set_leader, leads),
        ended=lambda _: _post(loop, stopped.set),
        failures=availability.failures,
    )
    options = kopf.OperatorSettings()
    configure(options, lease=settings.name)
    health_server = await health.serve(settings.health_port)
    background = [asyncio.create_task(audit.run(stopped)), asyncio.create_task(rivals.run(stopped))]
    for task in background:
        task.add_done_callback(lambda _: stopped.set())  # also if it ended with an exception
    election.start()
    for watch in watches:
        watch.start()
    try:
        await _watch(registry(queue, health, audit), options, settings, stopped)
    finally:
        # the health server goes last: probes must not fail while the last reconciles end
        stopped.set()
        for watch in watches:
            watch.stop()
        await queue.shut_down()
        await asyncio.to_thread(election.stop)
        with contextlib.suppress(ApiError):  # the Lease expires by itself
            await asyncio.to_thread(leadership.release)  # only now, after the last reconcile has written
        await asyncio.gather(*background)
        await health_server.cleanup()


def _post(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *arguments: object) -> None:
    """Calls a function of the event loop from another thread; a loop that is closed needs no calls any more."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *arguments)


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


async def _restore(client: Client, settings: Settings, equal_keys: EqualKeys, queue: WorkQueue) -> None:
    """Records which steps are being made, before the first plan could start one of them for another run."""
    jobs = await asyncio.to_thread(client.list_unfinished_jobs, settings.namespaces, JOBS)
    for key in equal_keys.restore(jobs):
        queue.add(key)


def _after(
    first: Callable[[], Coroutine[Any, Any, None]], reconcile: Callable[[RunKey], Coroutine[Any, Any, float | None]]
) -> Callable[[RunKey], Coroutine[Any, Any, float | None]]:
    """Returns a reconcile that waits until something was done once; if that fails, so does the reconcile."""
    lock, done = asyncio.Lock(), False

    async def reconcile_after(key: RunKey) -> float | None:
        nonlocal done
        async with lock:
            if not done:
                await first()
                done = True
        return await reconcile(key)

    return reconcile_after


def allow_deep_objects() -> None:
    """Raises Python's recursion limit, so that no object of the API server is too deep to be decoded.

    A pod template in a run may nest maps as deep as the API server decodes (10,000). At Python's own limit of 1,000 the
    watch of all runs would end with a RecursionError because of one of them.
    """
    sys.setrecursionlimit(DEEPEST_RECURSION)


def main() -> None:
    """Starts the operator with the settings of the environment."""
    allow_deep_objects()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # kopf logs a line for every event of every object at INFO
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Settings.from_environment(os.environ)))


if __name__ == "__main__":
    main()
