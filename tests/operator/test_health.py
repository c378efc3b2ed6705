"""Health: probes and metrics of the operator over HTTP."""

import asyncio
from collections.abc import Callable

import aiohttp
import pytest
from tests.s3_server import free_port

from selfalign_operator.api.status import RunStatus, StageStatus, StepStatus
from selfalign_operator.cluster.health import STALE_SECONDS, Health

RUN = ("team", "juniper")


class Clock:
    """A monotonic clock that tests set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def get(health: Health, path: str, *, host: str = "127.0.0.1") -> tuple[int, str]:
    """Status code and body of a response."""

    async def request() -> tuple[int, str]:
        runner = await health.serve(port := free_port())
        try:
            async with aiohttp.ClientSession() as http, http.get(f"http://{host}:{port}{path}") as response:
                return response.status, await response.text()
        finally:
            await runner.cleanup()

    return asyncio.run(request())


def status(state: str, **fields: object) -> RunStatus:
    """A run with a single step."""
    step = StepStatus.model_validate({"name": "import", "kind": "import", "state": state, **fields})
    return RunStatus(stages=(StageStatus(name="import", steps=(step,)),))


def metric(name: str) -> Callable[..., float | None]:
    """Reads one metric by its labels."""

    def value(health: Health, **labels: str) -> float | None:
        return health.registry.get_sample_value(name, labels)

    return value


def test_liveness_fails_once_the_watches_have_been_silent_for_too_long() -> None:
    clock = Clock()
    health = Health(clock)
    clock.now = STALE_SECONDS - 1
    assert get(health, "/healthz")[0] == 200
    clock.now = STALE_SECONDS + 1
    assert get(health, "/healthz") == (503, "last watch event 91 s ago, limit 90 s\n")
    health.record_watch_event()
    assert get(health, "/healthz")[0] == 200


def test_silence_of_the_watches_in_an_outage_of_the_api_server_is_no_reason_for_a_restart() -> None:
    clock, outages = Clock(), [0.0]
    health = Health(clock, last_outage=lambda: outages[-1])
    clock.now = 10 * STALE_SECONDS
    outages.append(clock.now - 1)
    assert health.alive
    clock.now += STALE_SECONDS  # the outage is over, and the watches have not come back
    assert not health.alive


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_probes_are_answered_over_either_address_family(host: str) -> None:
    assert get(Health(), "/healthz", host=host)[0] == 200


def test_liveness_fails_and_names_the_run_whose_change_the_watch_missed() -> None:
    health = Health()
    health.missed_runs = (RUN,)
    code, text = get(health, "/healthz")
    assert code == 503 and "team/juniper" in text
    assert metric("selfalign_watch_missed_runs")(health) == 1


def test_readiness_begins_with_the_first_watch_event() -> None:
    health = Health()
    assert get(health, "/readyz") == (503, "no watch event received yet\n")
    health.record_watch_event()
    assert get(health, "/readyz") == (200, "ok\n")


def test_a_run_is_counted_in_its_current_phase_until_it_is_deleted() -> None:
    health, runs = Health(), metric("selfalign_runs")
    health.set_phase(RUN, "Engraving")
    health.set_phase(RUN, "Ready")
    health.set_phase(("team", "other"), "Ready")
    assert runs(health, phase="Engraving") == 0
    assert runs(health, phase="Ready") == 2
    health.set_phase(RUN, None)
    assert runs(health, phase="Ready") == 1


def test_a_step_that_ran_has_a_duration_and_a_cache_hit_has_none() -> None:
    health, durations = Health(), metric("selfalign_step_duration_seconds_count")
    health.count_ended_steps(RunStatus(), status("Succeeded", cache="Hit", seconds=3.0))
    assert durations(health, step="import") is None
    health.count_ended_steps(status("Running"), status("Succeeded", cache="Miss", seconds=3.0))
    health.count_ended_steps(status("Succeeded"), status("Succeeded", cache="Miss", seconds=3.0))
    assert durations(health, step="import") == 1


def test_only_attempts_after_the_first_are_retries() -> None:
    health, retries = Health(), metric("selfalign_retries_total")
    health.count_job("import", 1)
    assert retries(health, step="import") is None
    health.count_job("import", 2)
    health.count_job("import", 3)
    assert retries(health, step="import") == 2


def test_metrics_have_a_help_text_each() -> None:
    health = Health()
    health.record_watch_event()
    code, text = get(health, "/metrics")
    assert code == 200
    assert "# HELP selfalign_reconcile_failures_total Failed reconciles" in text
    assert "# HELP selfalign_watch_age_seconds Seconds since the last watch event" in text


def test_an_operator_that_may_not_use_its_lease_is_not_ready_and_says_why() -> None:
    health = Health(lease_problem=lambda: "the operator cannot use the Lease a/b")
    health.record_watch_event()
    assert get(health, "/readyz") == (503, "the operator cannot use the Lease a/b\n")
