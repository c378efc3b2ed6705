"""Leader election on a real Lease, with the clocks of both operators in the test's hand."""

import json
from dataclasses import dataclass, field

import pytest
from kubernetes.client import ApiClient, Configuration
from tests.cluster.in_process import client_of
from tests.cluster.namespace import Namespace
from tests.s3_server import free_port

from selfalign_operator.cluster.client import Client
from selfalign_operator.cluster.leadership import (
    LEASE_DURATION_SECONDS,
    RENEW_DEADLINE_SECONDS,
    RETRY_PERIOD_SECONDS,
    Leadership,
)

pytestmark = pytest.mark.slow


@dataclass
class Clock:
    """Monotonic seconds that pass when a test says so; each operator's starts somewhere else."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Candidate:
    """An operator in the election, with its clock."""

    leadership: Leadership
    clock: Clock = field(default_factory=Clock)

    def after(self, seconds: float) -> bool:
        """Tries once when that much time has passed on its clock; whether it leads."""
        self.clock.seconds += seconds
        return self.leadership.acquire_or_renew()


def candidate(namespace: Namespace, identity: str, *, clock: float = 0.0, client: Client | None = None) -> Candidate:
    own = Clock(clock)
    election = Leadership(client or client_of(namespace), namespace.name, "selfalign-operator", identity, clock=own)
    return Candidate(election, own)


@pytest.fixture
def first(namespace: Namespace) -> Candidate:
    """The leader."""
    made = candidate(namespace, "first", clock=1000.0)
    assert made.after(0)
    return made


@pytest.fixture
def second(namespace: Namespace, first: Candidate) -> Candidate:
    """The stand-by, which has read the Lease once."""
    made = candidate(namespace, "second", clock=5.0)
    assert not made.after(0)
    return made


def holder(namespace: Namespace) -> str:
    return str(namespace.get("lease", "selfalign-operator")["spec"]["holderIdentity"])


def test_one_of_two_leads_for_as_long_as_it_renews(namespace: Namespace, first: Candidate, second: Candidate) -> None:
    for _ in range(10):
        assert first.after(RETRY_PERIOD_SECONDS)
        assert not second.after(RETRY_PERIOD_SECONDS)
    assert holder(namespace) == "first" and not second.leadership.is_leader


def test_a_stand_by_takes_over_only_after_a_whole_lease_duration_without_renewal(
    namespace: Namespace, first: Candidate, second: Candidate
) -> None:
    assert not second.after(LEASE_DURATION_SECONDS)
    assert second.after(1)
    assert holder(namespace) == "second"
    assert namespace.get("lease", "selfalign-operator")["spec"]["leaseTransitions"] == 1
    assert not first.after(0) and not first.leadership.is_leader


def test_a_leader_that_cannot_renew_stops_before_anyone_else_may_begin(first: Candidate) -> None:
    first.clock.seconds += RENEW_DEADLINE_SECONDS - 0.01
    assert first.leadership.is_leader
    first.clock.seconds += 0.02
    assert not first.leadership.is_leader
    assert RENEW_DEADLINE_SECONDS < LEASE_DURATION_SECONDS


def test_a_leader_outlives_failed_renewals_until_its_deadline(namespace: Namespace, first: Candidate) -> None:
    configuration = Configuration(host=f"http://127.0.0.1:{free_port()}")
    configuration.retries = False
    first.leadership.client = Client(ApiClient(configuration))
    assert first.after(RETRY_PERIOD_SECONDS) and first.after(RETRY_PERIOD_SECONDS)
    assert not first.after(RENEW_DEADLINE_SECONDS)


def test_a_lease_that_is_given_up_is_free_at_once(namespace: Namespace, first: Candidate, second: Candidate) -> None:
    first.leadership.release()
    assert not first.leadership.is_leader and holder(namespace) == ""
    assert second.after(0) and holder(namespace) == "second"


def test_who_does_not_lead_gives_nothing_up(namespace: Namespace, first: Candidate, second: Candidate) -> None:
    second.leadership.release()
    assert holder(namespace) == "first" and first.after(0)


def test_a_restarted_container_of_the_same_pod_leads_on(namespace: Namespace, first: Candidate) -> None:
    restarted = candidate(namespace, "first", clock=0.0)
    assert restarted.after(0)
    assert namespace.get("lease", "selfalign-operator")["spec"]["leaseTransitions"] == 0


def test_of_two_that_read_the_same_free_lease_one_gets_it(namespace: Namespace, first: Candidate) -> None:
    first.leadership.release()

    class Slow(Client):
        """Lets another candidate be faster between its read and its write."""

        def replace_lease(self, body: dict[str, object]) -> dict[str, object]:
            assert candidate(namespace, "faster").after(0)
            return super().replace_lease(body)

    slow = candidate(namespace, "slow", client=Slow(client_of(namespace).connection))
    assert not slow.after(0) and not slow.leadership.is_leader
    assert holder(namespace) == "faster"


def test_a_stand_by_tries_again_at_the_moment_the_lease_expires(first: Candidate, second: Candidate) -> None:
    seconds = 0.0
    while not second.leadership.is_leader:
        pause = second.leadership.seconds_until_next_attempt()
        seconds += pause
        second.after(pause)
    assert LEASE_DURATION_SECONDS < seconds < LEASE_DURATION_SECONDS + 0.1


def test_a_lease_that_was_deleted_or_made_by_hand_is_acquired(namespace: Namespace, first: Candidate) -> None:
    namespace.cluster.kubectl("-n", namespace.name, "delete", "lease", "selfalign-operator")
    assert first.after(RETRY_PERIOD_SECONDS) and holder(namespace) == "first"
    namespace.cluster.kubectl("-n", namespace.name, "delete", "lease", "selfalign-operator")
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "selfalign-operator"}}
    namespace.cluster.kubectl("-n", namespace.name, "create", "-f", "-", text=json.dumps(lease))
    assert first.after(RETRY_PERIOD_SECONDS) and holder(namespace) == "first"


def test_a_leader_whose_lease_another_one_took_knows_it_at_its_next_renewal(
    namespace: Namespace, first: Candidate, second: Candidate
) -> None:
    assert second.after(LEASE_DURATION_SECONDS + 1)
    assert not first.after(RETRY_PERIOD_SECONDS) and first.leadership.superseded and not first.leadership.is_leader
