"""Recurring failures are logged when they begin, once a minute, and when they are over."""

import logging
from dataclasses import dataclass, field

import pytest

from selfalign_operator.cluster.availability import Availability, KopfFailures, reported_failures
from selfalign_operator.cluster.failure_log import INTERVAL_SECONDS, QUIET_SECONDS, FailureLog

LOGGER = logging.getLogger("test.failures")


@dataclass
class Clock:
    """Monotonic seconds that pass when a test says so."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Log:
    """A failure log with its clock."""

    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.failures = FailureLog(LOGGER, self.clock)
        self.availability = Availability(self.failures, self.clock)


@pytest.fixture
def log() -> Log:
    return Log()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_an_outage_of_ten_minutes_is_a_line_a_minute_however_many_requests_fail(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(6000):
        log.availability.failed(0, "GET /api: connection refused")
        log.clock.seconds += 0.1
    assert len(lines(caplog)) == 10
    assert lines(caplog)[0] == "the API server does not respond: GET /api: connection refused"
    assert lines(caplog)[1] == "the API server does not respond, 600 times; the latest: GET /api: connection refused"


def test_the_end_of_an_outage_is_one_line_with_its_length(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    log.availability.failed(0, "refused")
    log.clock.seconds = 12
    log.availability.failed(0, "refused")
    for _ in range(100):
        log.clock.seconds += 1
        log.availability.responded()
    assert lines(caplog)[1:] == ["the API server does not respond: over after 17 s and 2 failures"]


def test_a_success_between_failures_is_not_the_end(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(100):
        log.availability.failed(503, "etcd is not ready")
        log.availability.responded()
        log.clock.seconds += 0.5
    assert lines(caplog) == ["the API server responds with HTTP 503: etcd is not ready"]


def test_a_failure_that_comes_and_goes_is_announced_once_a_minute(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(60):
        log.availability.failed(0, "refused")
        log.clock.seconds += QUIET_SECONDS
        log.availability.responded()
        log.clock.seconds += QUIET_SECONDS
    assert len(lines(caplog)) <= 2 * 10


def test_kinds_do_not_hide_each_other_and_leave_no_memory_behind(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    log.availability.failed(0, "refused")
    log.availability.failed(500, "webhook")
    assert len(lines(caplog)) == 2
    log.clock.seconds += QUIET_SECONDS
    log.availability.responded()
    log.clock.seconds += INTERVAL_SECONDS
    log.availability.responded()
    assert not log.failures._kinds


def test_only_failures_of_the_server_or_the_network_are_an_outage(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    for code in (400, 403, 404, 409, 410, 422):
        log.availability.failed(code, "refused")
    assert lines(caplog) == [] and log.availability.last_failure is None


KOPF = logging.getLogger("kopf._cogs.clients.watching")
REQUEST = (
    "Request attempt #3/9 failed; will retry: GET https://10.0.0.1:443/apis/x/v1/runs?watch=true&resourceVersion=7"
)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            "ClientConnectorError(ConnectionKey(host='h', port=1), ConnectionRefusedError(111, 'refused'))",
            "the API server does not respond: GET https://10.0.0.1:443/apis/x/v1/runs: ClientConnectorError(",
        ),
        (
            "APIServerError('etcd', {'kind': 'Status', 'code': 503}, status=503)",
            "the API server responds with HTTP 503: GET https://10.0.0.1:443/apis/x/v1/runs: APIServerError('etcd'",
        ),
        (
            "APIForbiddenError('runs is forbidden', {'code': 403}, status=403)",
            "the API server refuses a watch, GET https://10.0.0.1:443/apis/x/v1/runs: APIForbiddenError('runs is",
        ),
    ],
)
def test_failed_attempts_of_kopf_are_part_of_the_outage(
    error: str, line: str, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    outage = KopfFailures(log.availability)
    records = [KOPF.makeRecord(KOPF.name, logging.ERROR, "x", 1, f"{REQUEST} -> {error}", (), None) for _ in range(50)]
    assert not any(outage.filter(record) for record in records)
    (logged,) = lines(caplog)
    assert logged.startswith(line)


def test_other_lines_of_kopf_and_of_the_operator_pass(log: Log) -> None:
    outage = KopfFailures(log.availability)
    for logger in (KOPF, LOGGER):
        assert outage.filter(logger.makeRecord(logger.name, logging.ERROR, "x", 1, "something else: %s", ("x",), None))


def test_the_log_is_as_it_was_when_the_operator_has_ended(log: Log) -> None:
    before = [list(handler.filters) for handler in logging.getLogger().handlers]
    with reported_failures(log.availability):
        assert all(handler.filters for handler in logging.getLogger().handlers)
    assert [list(handler.filters) for handler in logging.getLogger().handlers] == before
