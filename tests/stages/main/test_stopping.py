"""A request to stop ends a step between two units of work, or at once where nothing would be lost."""

import signal
from collections.abc import Iterator

import pytest

from selfalign_stages.contract.exits import Interrupted
from selfalign_stages.step.stopping import Stop


@pytest.fixture
def stop() -> Iterator[Stop]:
    """Takes this process's signals for the time of a test."""
    before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
    stop = Stop()
    stop.listen()
    yield stop
    for name, handler in before.items():
        signal.signal(name, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_outside_at_once_a_signal_only_sets_the_request(stop: Stop, number: signal.Signals) -> None:
    signal.raise_signal(number)
    assert stop.requested()


def test_where_nothing_would_be_lost_a_signal_ends_the_step_at_once(stop: Stop) -> None:
    with pytest.raises(Interrupted), stop.at_once():
        signal.raise_signal(signal.SIGTERM)
    assert stop.requested()


def test_at_once_is_not_entered_after_a_request(stop: Stop) -> None:
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Interrupted), stop.at_once():
        pytest.fail("it was begun")


def test_after_at_once_a_signal_only_sets_the_request(stop: Stop) -> None:
    with stop.at_once():
        with stop.at_once():
            pass
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)
    other = Stop()
    other.listen()
    with other.at_once():
        pass
    signal.raise_signal(signal.SIGTERM)
    assert other.requested()
