"""WatchAudit: enqueues what a watch missed, and detects a stalled watch."""

import asyncio

import pytest

from selfalign_operator.cluster import watch_audit
from selfalign_operator.cluster.client import ApiError, RunKey
from selfalign_operator.cluster.health import Health
from selfalign_operator.cluster.watch_audit import WatchAudit

A, B = ("team", "a"), ("team", "b")


def new_audit() -> tuple[WatchAudit, list[RunKey], Health]:
    """An audit, the runs that it enqueues, and the health that it reports to."""
    enqueued: list[RunKey] = []
    health = Health()
    return WatchAudit(dict, enqueued.append, health), enqueued, health


def test_a_watch_that_delivers_everything_passes() -> None:
    audit, enqueued, health = new_audit()
    audit.record(A, "1")
    audit.record(A, "2")
    audit.compare({A: "2"})
    audit.compare({A: "2"})
    assert enqueued == [] and health.alive


def test_a_missed_change_is_enqueued_and_fails_liveness_at_the_second_audit() -> None:
    audit, enqueued, health = new_audit()
    audit.record(A, "1")
    audit.compare({A: "1", B: "5"})
    assert enqueued == [B] and health.alive
    audit.compare({A: "1", B: "5"})
    assert not health.alive and health.missed_runs == (B,)


def test_an_event_that_arrives_after_the_list_is_no_sign_of_a_stalled_watch() -> None:
    audit, _, health = new_audit()
    audit.record(A, "1")
    audit.compare({A: "2"})
    audit.record(A, "2")
    audit.compare({A: "3"})
    assert health.alive
    audit.record(A, "3")
    audit.compare({A: "3"})
    assert health.alive


def test_a_list_that_is_older_than_the_watch_is_no_sign_of_a_stalled_watch() -> None:
    audit, _, health = new_audit()
    audit.record(A, "2")
    audit.compare({A: "1"})
    audit.compare({A: "2"})
    assert health.alive


def test_a_deleted_run_is_enqueued_once() -> None:
    audit, enqueued, health = new_audit()
    audit.record(A, "1")
    audit.compare({})
    audit.compare({})
    assert enqueued == [A] and health.alive


def test_an_audit_that_cannot_list_runs_goes_on_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_audit, "INTERVAL_SECONDS", 0.01)
    stopped = asyncio.Event()
    answers: list[dict[RunKey, str] | ApiError] = [ApiError(503, "unavailable"), {A: "1"}]
    enqueued: list[RunKey] = []

    def list_versions() -> dict[RunKey, str]:
        answer = answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return answer

    def enqueue(key: RunKey) -> None:
        enqueued.append(key)
        stopped.set()

    asyncio.run(WatchAudit(list_versions, enqueue, Health()).run(stopped))
    assert enqueued == [A] and answers == []
