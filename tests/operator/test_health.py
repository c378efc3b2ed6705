"""What probes and scrapes are told of the operator."""

import asyncio
from collections.abc import Callable

import aiohttp
from tests.s3_server import free_port

from selfalign_operator.api.status import RunStatus, StageStatus, StepStatus
from selfalign_operator.cluster.health import STALE_SECONDS, Health

RUN = ("team", "juniper")


class Clock:
    """Stands until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def asked(health: Health, path: str) -> tuple[int, str]:
    """Code and text of an answer over HTTP."""

    async def ask() -> tuple[int, str]:
        runner = await health.serve(port := free_port())
        try:
            async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}{path}") as answer:
                return answer.status, await answer.text()
        finally:
            await runner.cleanup()

    return asyncio.run(ask())


def status(state: str, **step: object) -> RunStatus:
    """A run with a single step."""
    made = StepStatus.model_validate({"name": "import", "kind": "import", "state": state, **step})
    return RunStatus(stages=(StageStatus(name="import", steps=(made,)),))


def test_liveness_fails_once_the_watches_have_been_silent_for_too_long() -> None:
    clock = Clock()
    health = Health(clock)
    clock.now = STALE_SECONDS - 1
    assert asked(health, "/healthz")[0] == 200
    clock.now = STALE_SECONDS + 1
    assert asked(health, "/healthz") == (503, "watches heard 91 s ago\n")
    health.record_watch_event()
    assert asked(health, "/healthz")[0] == 200


def test_readiness_begins_with_the_first_word_of_a_watch() -> None:
    health = Health()
    assert asked(health, "/readyz")[0] == 503
    health.record_watch_event()
    assert asked(health, "/readyz")[0] == 200


def test_a_run_counts_in_the_phase_it_is_in_and_no_more_when_it_is_gone() -> None:
    health, counted = Health(), counting("selfalign_runs")
    health.set_phase(RUN, "Engraving")
    health.set_phase(RUN, "Ready")
    health.set_phase(("team", "other"), "Ready")
    assert counted(health, phase="Engraving") == 0
    assert counted(health, phase="Ready") == 2
    health.set_phase(RUN, None)
    assert counted(health, phase="Ready") == 1


def test_a_step_that_ran_has_a_duration_and_one_that_was_found_has_none() -> None:
    health, counted = Health(), counting("selfalign_step_duration_seconds_count")
    health.count_ended_steps(RunStatus(), status("Succeeded", cache="Hit", seconds=3.0))
    assert counted(health, step="import") is None
    health.count_ended_steps(status("Running"), status("Succeeded", cache="Miss", seconds=3.0))
    health.count_ended_steps(status("Succeeded"), status("Succeeded", cache="Miss", seconds=3.0))
    assert counted(health, step="import") == 1


def test_only_attempts_after_the_first_are_retries() -> None:
    health, counted = Health(), counting("selfalign_retries_total")
    health.count_job("import", 1)
    assert counted(health, step="import") is None
    health.count_job("import", 2)
    health.count_job("import", 3)
    assert counted(health, step="import") == 2


def counting(name: str) -> Callable[..., float | None]:
    """Reads one metric by its labels."""

    def read(health: Health, **labels: str) -> float | None:
        return health.registry.get_sample_value(name, labels)

    return read
