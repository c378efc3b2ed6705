"""Every write may be the last one: an operator that dies after each of them makes the same run, and no Job twice."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from kubernetes import config
from tests.cluster.namespace import Namespace
from tests.cluster.pretend_node import pretend_node, publish

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.cluster.client import Client
from selfalign_operator.cluster.health import Health
from selfalign_operator.cluster.reconcile import Reconciler
from selfalign_operator.jobs.identity import STEP
from selfalign_operator.jobs.job import StageImages
from selfalign_operator.planning import graph

pytestmark = pytest.mark.slow

IMAGES = StageImages({name: f"local.test/{name}:1" for name in ("cpu", "generate", "train")})


class Died(BaseException):
    """The operator is gone, like by SIGKILL: nothing of ours catches it."""


class Mortal(Client):
    """Dies at its first write that is none for trial: before it reaches the API server, or with the answer lost."""

    def __init__(self, api: Client, *, before: bool) -> None:
        super().__init__(api.connection)
        self.before = before

    def _request(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        if method == "GET" or (given.get("query") or {}).get("dryRun"):
            return super()._request(method, path, **given)
        if not self.before:
            super()._request(method, path, **given)
        raise Died(f"{method} {path}")


def look(api: Client, key: tuple[str, str]) -> bool:
    """One look of an operator that has just been started; whether it outlived it."""

    async def once() -> None:
        async with aiohttp.ClientSession() as http:
            await Reconciler(client=api, images=IMAGES, http=http, health=Health()).reconcile(key)

    try:
        asyncio.run(once())
    except Died:
        return False
    return True


@pytest.fixture
def api(namespace: Namespace) -> Client:
    return Client(config.new_client_from_config(str(namespace.cluster.kubeconfig)))


def until_ready(namespace: Namespace, operator: Callable[[int], Client]) -> int:
    """Looks again and again, each time by another operator; how many of them died."""
    key, deaths = (namespace.name, "trial"), 0
    for number in range(2000):
        deaths += not look(operator(number), key)
        if namespace.condition("Ready").get("status") == "True":
            return deaths
    raise AssertionError(f"not ready after {deaths} deaths: {namespace.status().get('conditions')}")


def test_an_operator_that_dies_after_every_write_makes_the_same_run(namespace: Namespace, api: Client) -> None:
    with pretend_node(namespace.cluster, publish):
        namespace.apply()
        deaths = until_ready(namespace, lambda _: Mortal(api, before=False))
    run = SelfAlignRun.model_validate(namespace.manifest())
    steps = {"preflight", *(step.id for step in graph.steps(run))}
    assert Counter(job["metadata"]["labels"][STEP] for job in namespace.jobs()) == dict.fromkeys(steps, 1)
    assert deaths > len(steps), "each Job took a life, and each status and Event another"
    events = [event for event in namespace.get("events")["items"] if event["involvedObject"]["kind"] == "SelfAlignRun"]
    told = Counter((event["reason"], event["message"]) for event in events)
    assert set(told.values()) == {1}
    assert look(Mortal(api, before=True), (namespace.name, "trial")), "nothing is left to be written"


def test_an_operator_that_dies_before_every_other_write_makes_the_same_run(namespace: Namespace, api: Client) -> None:
    with pretend_node(namespace.cluster, publish):
        namespace.apply()
        deaths = until_ready(namespace, lambda number: Mortal(api, before=True) if number % 2 else api)
    jobs = Counter(job["metadata"]["labels"][STEP] for job in namespace.jobs())
    assert set(jobs.values()) == {1} and deaths > 0
