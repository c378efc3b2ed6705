"""Triggers: one look at a run at a time, again if something happened meanwhile, later after a failure."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine

from selfalign_operator.cluster.client import ApiError
from selfalign_operator.cluster.health import Health
from selfalign_operator.cluster.work_queue import LONGEST_RETRY_SECONDS, RunKey, WorkQueue, delay_after

ONE, OTHER = ("team", "one"), ("team", "other")


class Looks:
    """Looks that end when they are let go."""

    def __init__(self, *, fail: int = 0, again: float | None = None) -> None:
        self.begun: Counter[RunKey] = Counter()
        self.at_once: Counter[RunKey] = Counter()
        self.most = 0
        self.go = asyncio.Event()
        self.fail, self.again = fail, again

    async def __call__(self, key: RunKey) -> float | None:
        self.begun[key] += 1
        self.at_once[key] += 1
        self.most = max(self.most, self.at_once[key])
        await self.go.wait()
        self.at_once[key] -= 1
        if self.begun[key] <= self.fail:
            raise RuntimeError("the API server is away")
        return self.again


async def settle() -> None:
    """Lets everything that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


def play(scene: Callable[[Looks, WorkQueue], Coroutine[None, None, None]], **settings: float) -> Looks:
    """Runs a scene with open queue."""

    async def run() -> Looks:
        looks = Looks(**settings)  # type: ignore[arg-type]
        queue = WorkQueue(looks, Health())
        queue.start()
        await scene(looks, queue)
        looks.go.set()
        await queue.shut_down()
        return looks

    return asyncio.run(run())


def test_a_burst_about_one_run_is_one_look_and_one_more() -> None:
    async def scene(looks: Looks, queue: WorkQueue) -> None:
        for _ in range(50):
            queue.add(ONE)
            await settle()
        looks.go.set()
        await settle()

    looks = play(scene)
    assert looks.begun[ONE] == 2 and looks.most == 1


def test_runs_do_not_wait_for_each_other() -> None:
    async def scene(looks: Looks, queue: WorkQueue) -> None:
        queue.add(ONE)
        queue.add(OTHER)
        await settle()
        assert looks.begun == {ONE: 1, OTHER: 1}

    play(scene)


def test_nothing_is_looked_at_before_we_lead_and_all_of_it_then() -> None:
    async def run() -> None:
        looks = Looks()
        looks.go.set()
        queue = WorkQueue(looks, Health())
        queue.add(ONE)
        queue.add(OTHER)
        await settle()
        assert not looks.begun
        queue.start()
        await settle()
        assert looks.begun == {ONE: 1, OTHER: 1}

    asyncio.run(run())


def test_a_look_is_repeated_when_it_says_so() -> None:
    async def scene(looks: Looks, queue: WorkQueue) -> None:
        looks.go.set()
        queue.add(ONE)
        while looks.begun[ONE] < 3:
            await asyncio.sleep(0.001)

    assert play(scene, again=0.001).begun[ONE] >= 3


def test_a_look_that_breaks_off_is_repeated_later_and_counted() -> None:
    async def run() -> None:
        looks, health = Looks(fail=1), Health()
        looks.go.set()
        queue = WorkQueue(looks, health)
        queue.start()
        queue.add(ONE)
        await settle()
        assert looks.begun[ONE] == 1
        assert health.registry.get_sample_value("selfalign_reconcile_failures_total") == 1
        while looks.begun[ONE] < 2:
            await asyncio.sleep(0.01)
        await queue.shut_down()

    asyncio.run(run())


def test_news_of_a_run_do_not_hasten_a_look_that_failed() -> None:
    async def run() -> None:
        looks = Looks(fail=1)
        queue = WorkQueue(looks, Health())
        queue.start()
        queue.add(ONE)
        await settle()
        queue.add(ONE)
        looks.go.set()
        for _ in range(50):
            queue.add(ONE)
            await settle()
        assert looks.begun[ONE] == 1
        while looks.begun[ONE] < 2:
            await asyncio.sleep(0.01)
        queue.add(ONE)
        await settle()
        assert looks.begun[ONE] == 3
        await queue.shut_down()

    asyncio.run(run())


def test_a_busy_api_server_is_left_alone_for_as_long_as_it_asks() -> None:
    busy = ApiError(429, "too many requests", retry_after=17)
    assert [delay_after(busy, failures) for failures in (1, 4, 6)] == [17, 17, 32]
    assert [delay_after(RuntimeError(), failures) for failures in (1, 2, 3)] == [1, 2, 4]
    assert delay_after(busy, 100) == LONGEST_RETRY_SECONDS
