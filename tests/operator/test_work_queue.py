"""WorkQueue: one reconcile per run at a time, one more for events in the meantime, backoff after a failure."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine

import pytest

from selfalign_operator.cluster.client import ApiError, RunKey
from selfalign_operator.cluster.failure_log import FailureLog
from selfalign_operator.cluster.health import Health
from selfalign_operator.cluster.work_queue import LONGEST_RETRY_SECONDS, MAX_PARALLEL, WorkQueue, backoff_seconds

ONE, OTHER = ("team", "one"), ("team", "other")


class FakeReconciler:
    """Reconciles that end once `may_end` is set.

    Attributes:
        started: reconciles that were started, by run.
        max_parallel: most reconciles of one run at a time.
    """

    def __init__(self, *, failures: int = 0, requeue_after: float | None = None) -> None:
        self.started: Counter[RunKey] = Counter()
        self.max_parallel = 0
        self.may_end = asyncio.Event()
        self._parallel: Counter[RunKey] = Counter()
        self._failures, self._requeue_after = failures, requeue_after

    async def __call__(self, key: RunKey) -> float | None:
        self.started[key] += 1
        self._parallel[key] += 1
        self.max_parallel = max(self.max_parallel, self._parallel[key])
        await self.may_end.wait()
        self._parallel[key] -= 1
        if self.started[key] <= self._failures:
            raise RuntimeError("the API server is unavailable")
        return self._requeue_after


async def settle() -> None:
    """Lets every task run until it waits for something else than the event loop."""
    for _ in range(20):
        await asyncio.sleep(0)


Scenario = Callable[[FakeReconciler, WorkQueue], Coroutine[None, None, None]]


def play(scenario: Scenario, **settings: float) -> FakeReconciler:
    """Plays a scenario on a started queue, and shuts the queue down."""

    async def run() -> FakeReconciler:
        reconciler = FakeReconciler(**settings)  # type: ignore[arg-type]
        queue = WorkQueue(reconciler, Health())
        queue.start()
        await scenario(reconciler, queue)
        reconciler.may_end.set()
        await queue.shut_down()
        return reconciler

    return asyncio.run(run())


def test_a_burst_of_events_of_one_run_leads_to_one_more_reconcile() -> None:
    async def scenario(reconciler: FakeReconciler, queue: WorkQueue) -> None:
        for _ in range(50):
            queue.add(ONE)
            await settle()
        reconciler.may_end.set()
        await settle()

    reconciler = play(scenario)
    assert reconciler.started[ONE] == 2 and reconciler.max_parallel == 1


def test_runs_do_not_wait_for_each_other() -> None:
    async def scenario(reconciler: FakeReconciler, queue: WorkQueue) -> None:
        queue.add(ONE)
        queue.add(OTHER)
        await settle()
        assert reconciler.started == {ONE: 1, OTHER: 1}

    play(scenario)


def test_nothing_is_reconciled_before_the_start_and_everything_enqueued_then() -> None:
    async def run() -> None:
        reconciler = FakeReconciler()
        reconciler.may_end.set()
        queue = WorkQueue(reconciler, Health())
        queue.add(ONE)
        queue.add(OTHER)
        await settle()
        assert not reconciler.started
        queue.start()
        await settle()
        assert reconciler.started == {ONE: 1, OTHER: 1}

    asyncio.run(run())


def test_a_run_is_requeued_after_the_returned_delay() -> None:
    async def scenario(reconciler: FakeReconciler, queue: WorkQueue) -> None:
        reconciler.may_end.set()
        queue.add(ONE)
        while reconciler.started[ONE] < 3:
            await asyncio.sleep(0.001)

    assert play(scenario, requeue_after=0.001).started[ONE] >= 3


def test_a_failed_reconcile_is_counted_and_retried() -> None:
    async def run() -> None:
        reconciler, health = FakeReconciler(failures=1), Health()
        reconciler.may_end.set()
        queue = WorkQueue(reconciler, health)
        queue.start()
        queue.add(ONE)
        await settle()
        assert reconciler.started[ONE] == 1
        assert health.registry.get_sample_value("selfalign_reconcile_failures_total") == 1
        while reconciler.started[ONE] < 2:
            await asyncio.sleep(0.01)
        await queue.shut_down()

    asyncio.run(run())


def test_events_do_not_shorten_the_backoff_of_a_failed_reconcile() -> None:
    async def run() -> None:
        reconciler = FakeReconciler(failures=1)
        queue = WorkQueue(reconciler, Health())
        queue.start()
        queue.add(ONE)
        await settle()
        queue.add(ONE)
        reconciler.may_end.set()
        for _ in range(50):
            queue.add(ONE)
            await settle()
        assert reconciler.started[ONE] == 1
        while reconciler.started[ONE] < 2:
            await asyncio.sleep(0.01)
        queue.add(ONE)
        await settle()
        assert reconciler.started[ONE] == 3
        await queue.shut_down()

    asyncio.run(run())


def test_the_backoff_doubles_and_is_no_shorter_than_retry_after() -> None:
    busy = ApiError(429, "too many requests", retry_after=17)
    assert [backoff_seconds(busy, failures) for failures in (1, 4, 6)] == [17, 17, 32]
    assert [backoff_seconds(RuntimeError(), failures) for failures in (1, 2, 3)] == [1, 2, 4]
    assert backoff_seconds(busy, 100) == LONGEST_RETRY_SECONDS


def test_after_a_pause_every_run_with_a_requeue_or_retry_is_reconciled_again() -> None:
    async def run() -> None:
        reconciler = FakeReconciler(failures=1, requeue_after=3600)
        reconciler.may_end.set()
        queue = WorkQueue(reconciler, Health())
        queue.start()
        queue.add(ONE)
        await settle()
        queue.pause()
        queue.add(OTHER)
        await settle()
        assert reconciler.started == {ONE: 1}
        queue.start()
        await settle()
        assert reconciler.started == {ONE: 2, OTHER: 1}
        queue.pause()
        queue.start()
        await settle()
        assert reconciler.started[ONE] == 3  # its requeue was an hour ahead
        await queue.shut_down()

    asyncio.run(run())


def test_a_run_that_waits_for_its_turn_is_not_reconciled_in_a_pause() -> None:
    async def run() -> None:
        reconciler = FakeReconciler()
        queue = WorkQueue(reconciler, Health())
        queue.start()
        runs = [("team", str(number)) for number in range(MAX_PARALLEL + 5)]
        for key in runs:
            queue.add(key)
        await settle()
        assert len(reconciler.started) == MAX_PARALLEL
        queue.pause()
        reconciler.may_end.set()
        await settle()
        assert len(reconciler.started) == MAX_PARALLEL
        queue.start()
        await settle()
        assert len(reconciler.started) == len(runs)
        await queue.shut_down()

    asyncio.run(run())


@pytest.mark.parametrize("code", [0, 429, 500, 503])
def test_an_outage_is_left_to_the_client_to_report(code: int, caplog: pytest.LogCaptureFixture) -> None:
    assert failing_a_hundred_times(ApiError(code, "unavailable"), caplog) == []


def test_a_refusal_is_one_line_and_a_bug_one_traceback_for_all_runs(caplog: pytest.LogCaptureFixture) -> None:
    (refusal,) = failing_a_hundred_times(ApiError(403, "jobs is forbidden"), caplog)
    assert refusal.exc_info is None and "team/0: jobs is forbidden" in refusal.getMessage()
    caplog.clear()
    (bug,) = failing_a_hundred_times(KeyError("spec"), caplog)
    assert bug.exc_info is not None and "team/0: 'spec'" in bug.getMessage()


def failing_a_hundred_times(error: Exception, caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The lines about a hundred runs whose reconcile fails."""

    async def fail(_: RunKey) -> float | None:
        raise error

    async def run() -> None:
        queue = WorkQueue(fail, Health(), FailureLog(logging.getLogger("test"), clock=lambda: 0.0))
        queue.start()
        for number in range(100):
            queue.add(("team", str(number)))
        for _ in range(10):
            await settle()
        await queue.shut_down()

    asyncio.run(run())
    return list(caplog.records)
