"""The operator's time is the API server's, whatever the clock of its machine shows."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from kubernetes.client import ApiClient, Configuration

from selfalign_operator.cluster.client import Client
from selfalign_operator.cluster.server_clock import TOLERANCE, ServerClock

TRUE = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Machine:
    """A clock that tests set, `ahead` of the true time."""

    def __init__(self, ahead: float) -> None:
        self.ahead, self.true = timedelta(seconds=ahead), TRUE

    def __call__(self) -> datetime:
        return self.true + self.ahead

    def date(self) -> str:
        """The header of a response at this moment."""
        return format_datetime(self.true.astimezone(UTC), usegmt=True)


@pytest.mark.parametrize("ahead", [600, -600, 86_400 * 365, -3])
def test_a_clock_that_is_off_is_corrected_and_runs_on(ahead: float) -> None:
    machine = Machine(ahead)
    clock = ServerClock(machine)
    clock.record(machine.date())
    machine.true += timedelta(hours=5)
    assert abs(clock.now() - machine.true) <= TOLERANCE


def test_a_clock_that_is_right_is_not_touched_by_late_responses() -> None:
    machine = Machine(0)
    clock, date = ServerClock(machine), machine.date()
    for late in (0.2, 1.9, 4.5):
        machine.true = TRUE + timedelta(seconds=late)
        clock.record(date)
        assert clock.now() == machine.true


def test_a_clock_that_is_set_right_is_no_longer_corrected() -> None:
    machine = Machine(600)
    clock = ServerClock(machine)
    clock.record(machine.date())
    machine.ahead = timedelta(seconds=1)
    clock.record(machine.date())
    assert clock.correction == timedelta() and clock.now() == machine()


@pytest.mark.parametrize("date", [None, "", "soon", "2030-01-01T00:00:00Z", "Tue, 01 Jan 2030 00:00:00 -0000", "999"])
def test_what_is_no_date_is_ignored(date: str | None) -> None:
    clock = ServerClock(Machine(0))
    clock.record(date)
    assert clock.correction == timedelta()


class Earlier(BaseHTTPRequestHandler):
    """An API server on whose clock it is ten minutes earlier than on this machine's."""

    def do_GET(self) -> None:
        self.send_response_only(200)
        self.send_header("Date", format_datetime(datetime.now(UTC) - timedelta(minutes=10), usegmt=True))
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def earlier() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Earlier)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_a_client_takes_the_time_from_what_the_server_answers(earlier: int) -> None:
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{earlier}"
    client = Client(ApiClient(configuration))
    fenced = client.fenced(lambda: True)
    fenced.get_run("team", "trial")
    difference = datetime.now(UTC) - client.clock.now()
    assert abs(difference - timedelta(minutes=10)) <= TOLERANCE
