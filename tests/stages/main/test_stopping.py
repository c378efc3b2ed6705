"""A request to stop ends a step between two units of work, or at once where nothing would be lost."""

import os
import signal
from collections.abc import Iterator

import pytest

from selfalign_stages.contract.exits import Interrupted, Unavailable
from selfalign_stages.preflight.findings import Findings
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
        # At the end of the outer one it would be raised again.
        stop._requested = False
    signal.raise_signal(signal.SIGTERM)
    assert stop.requested()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interruption_that_a_finalizer_swallowed_is_raised_at_the_end(stop: Stop) -> None:
    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted), stop.at_once():
        Finalized()


def test_no_handler_of_errors_takes_an_interruption_for_one(stop: Stop) -> None:
    def dial() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except Exception as error:
            raise Unavailable("the hub is down") from error

    findings = Findings()
    with pytest.raises(Interrupted), stop.at_once():
        findings.attempt("spec.baseModel.uri", "hf://x/y", dial)
    assert findings.problems == []


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # that it has threads, since Python 3.12
def test_a_forked_child_that_is_terminated_ends(stop: Stop) -> None:
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(sender, b".")
        while True:
            os.getppid()  # Not a call that blocks: it could begin between the signal and its handler.
    os.read(receiver, 1)  # Before, Python drops the signals of a forked child.
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    os.close(receiver)
    os.close(sender)
    assert os.waitstatus_to_exitcode(status) in (-signal.SIGTERM, 128 + signal.SIGTERM)
    assert not stop.requested()
