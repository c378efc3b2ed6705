"""The election's thread: renewals beside a busy or hung event loop, with the clock in the test's hand."""

import asyncio
import logging
from dataclasses import dataclass, field

import pytest
from kubernetes import client, config
from tests.cluster.in_process import client_of
from tests.cluster.namespace import Namespace

from selfalign_operator.cluster.client import Client
from selfalign_operator.cluster.election import Election, LoopProbe
from selfalign_operator.cluster.failure_log import FailureLog
from selfalign_operator.cluster.health import Health
from selfalign_operator.cluster.leadership import LEASE_DURATION_SECONDS, RENEW_DEADLINE_SECONDS, Leadership
from selfalign_operator.cluster.term import Term
from selfalign_operator.cluster.watch_audit import WatchAudit
from selfalign_operator.cluster.work_queue import WorkQueue

pytestmark = pytest.mark.slow


@dataclass
class Operator:
    """One operator's election; its time and whether its event loop runs are the test's."""

    namespace: Namespace
    identity: str
    api: Client | None = None
    seconds: float = 0.0
    loop_runs: bool = True
    reported: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        api = self.api or client_of(self.namespace)
        clock = lambda: self.seconds  # noqa: E731
        self.leadership = Leadership(api, self.namespace.name, "selfalign-operator", self.identity, clock=clock)
        self.election = Election(
            self.leadership,
            lambda: self.loop_runs,
            changed=self.reported.append,
            ended=lambda error: None,
            failures=FailureLog(logging.getLogger("test.election"), clock),
        )

    def run_for(self, seconds: float) -> None:
        """Attempts as often as the thread would in that time."""
        end = self.seconds + seconds
        while True:
            pause = self.election.attempt()
            if self.seconds + pause > end:
                self.seconds = end
                return
            self.seconds += pause


def test_a_leader_renews_for_as_long_as_its_loop_runs(namespace: Namespace) -> None:
    operator = Operator(namespace, "first")
    operator.run_for(60)
    assert operator.leadership.is_leader and operator.reported == [True]


def test_a_pause_of_the_loop_shorter_than_the_deadline_costs_nothing(namespace: Namespace) -> None:
    operator = Operator(namespace, "first")
    operator.run_for(10)
    operator.loop_runs = False
    operator.run_for(RENEW_DEADLINE_SECONDS - 3)
    operator.loop_runs = True
    operator.run_for(10)
    assert operator.reported == [True]


def test_a_hung_loop_loses_the_lease_and_another_operator_takes_over_within_twenty_seconds(
    namespace: Namespace,
) -> None:
    hung, other = Operator(namespace, "hung"), Operator(namespace, "other", seconds=7000)
    hung.run_for(10)
    other.run_for(1)
    hung.loop_runs = False
    for _ in range(20):
        hung.run_for(1)
        other.run_for(1)
        assert not (hung.leadership.is_leader and other.leadership.is_leader)
    assert other.leadership.is_leader and not hung.leadership.is_leader
    hung.loop_runs = True
    hung.run_for(1)
    assert hung.leadership.superseded and hung.reported[:2] == [True, False]


def test_after_an_outage_the_same_operator_goes_on(namespace: Namespace) -> None:
    operator = Operator(namespace, "first")
    operator.run_for(10)
    api, operator.leadership.client = operator.leadership.client, Client(client.ApiClient(_nowhere()))
    operator.run_for(RENEW_DEADLINE_SECONDS + LEASE_DURATION_SECONDS)
    assert operator.reported == [True, False]
    operator.leadership.client = api
    operator.run_for(3)
    assert operator.reported == [True, False, True]


def test_a_missing_right_to_the_lease_is_logged_with_its_remedy_which_helps(
    namespace: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    kubectl = namespace.cluster.kubectl
    configuration = client.Configuration.get_default_copy()
    config.load_kube_config(str(namespace.cluster.kubeconfig), client_configuration=configuration)
    api = client.ApiClient(configuration)
    api.set_default_header("Impersonate-User", "nobody")
    operator = Operator(namespace, "nobody", api=Client(api))
    operator.run_for(120)
    assert not operator.leadership.is_leader
    assert 1 <= len(caplog.messages) <= 3
    assert "give its service account the Role of the chart again" in caplog.messages[0]
    rights = ("--verb=get", "--verb=create", "--verb=update", "--resource=leases")
    kubectl("-n", namespace.name, "create", "role", "lease", *rights)
    kubectl("-n", namespace.name, "create", "rolebinding", "lease", "--role=lease", "--user=nobody")
    operator.run_for(60)
    assert operator.leadership.is_leader


def test_the_probe_tells_a_hung_loop_from_a_running_one() -> None:
    async def run() -> None:
        probe = LoopProbe(asyncio.get_running_loop())
        assert await asyncio.to_thread(probe)
        await asyncio.sleep(0)
        assert probe()
        assert not probe()  # asked twice without letting the loop run
        await asyncio.sleep(0)
        assert probe()

    asyncio.run(run())


def test_an_operator_pauses_without_its_lease_and_stops_once_another_one_has_it(namespace: Namespace) -> None:
    async def run() -> None:
        started: list[tuple[str, str]] = []

        async def reconcile(key: tuple[str, str]) -> float | None:
            started.append(key)
            return 3600.0

        health, stopped = Health(), asyncio.Event()
        queue = WorkQueue(reconcile, health)
        leadership = Leadership(client_of(namespace), namespace.name, "selfalign-operator", "first")
        term = Term(leadership, queue, health, WatchAudit(dict, queue.add, health), stopped, unsynced=1)
        queue.add(("team", "one"))
        term.set_leader(True)
        await _settle()
        assert started == []  # a watch has not begun yet
        term.synced()
        await _settle()
        assert len(started) == 1
        term.set_leader(False)
        queue.add(("team", "one"))
        await _settle()
        assert len(started) == 1 and not stopped.is_set()
        term.set_leader(True)
        await _settle()
        assert len(started) == 2
        leadership.superseded = True
        term.set_leader(False)
        assert stopped.is_set()
        await queue.shut_down()

    asyncio.run(run())


def _nowhere() -> client.Configuration:
    configuration = client.Configuration(host="http://127.0.0.1:9")
    configuration.retries = False
    return configuration


async def _settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
