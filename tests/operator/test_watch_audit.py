"""A watch that misses changes is found out by a list, and what it missed is looked at."""

from selfalign_operator.cluster.health import Health
from selfalign_operator.cluster.watch_audit import WatchAudit

A, B = ("team", "a"), ("team", "b")


def audit() -> tuple[WatchAudit, list[tuple[str, str]], Health]:
    pulled: list[tuple[str, str]] = []
    health = Health()
    return WatchAudit(dict, pulled.append, health), pulled, health


def test_a_watch_that_brings_everything_is_left_alone() -> None:
    made, pulled, health = audit()
    made.record(A, "1")
    made.record(A, "2")
    made.compare({A: "2"})
    made.compare({A: "2"})
    assert pulled == [] and health.alive


def test_what_was_missed_is_looked_at_and_missed_twice_ends_the_operator() -> None:
    made, pulled, health = audit()
    made.record(A, "1")
    made.compare({A: "1", B: "5"})
    assert pulled == [B] and health.alive
    made.compare({A: "1", B: "5"})
    assert not health.alive and health.missed_runs == (B,)


def test_a_change_that_is_on_its_way_is_no_sign_of_a_deaf_watch() -> None:
    made, _, health = audit()
    made.record(A, "1")
    made.compare({A: "2"})
    made.record(A, "2")
    made.compare({A: "3"})
    assert health.alive
    made.record(A, "3")
    made.compare({A: "3"})
    assert health.alive


def test_a_list_that_is_older_than_the_watch_is_no_sign_either() -> None:
    made, _, health = audit()
    made.record(A, "2")
    made.compare({A: "1"})
    made.compare({A: "2"})
    assert health.alive


def test_a_run_that_is_gone_is_looked_at_once() -> None:
    made, pulled, health = audit()
    made.record(A, "1")
    made.compare({})
    made.compare({})
    assert pulled == [A] and health.alive
