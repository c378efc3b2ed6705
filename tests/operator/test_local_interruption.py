"""Ctrl-C and SIGTERM end `selfalign run` within its grace period, with all processes, and count no attempt."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.operator.sandbox import Sandbox, opened, wait_until


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with opened(tmp_path) as sandbox:
        yield sandbox


def step(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next(step for stage in status["stages"] for step in stage["steps"] if step["name"] == name)


def started(sandbox: Sandbox, name: str) -> bool:
    return f"start {name}" in sandbox.journal()


def test_a_step_that_does_not_end_is_killed_with_all_that_it_started_and_begins_again_as_the_same_attempt(
    sandbox: Sandbox,
) -> None:
    sandbox.script(**{"import": ["family"]})
    process = sandbox.start()
    wait_until(lambda: started(sandbox, "import") and len(sandbox.standins()) == 4)
    process.send_signal(signal.SIGINT)
    code, status, err = sandbox.finish(process)
    assert code == 130 and "stopped on request" in err
    assert sandbox.standins() == []
    interrupted = step(status, "import")
    assert (interrupted["state"], interrupted.get("attempt", 0)) == ("Pending", 0)
    assert status["phase"] != "Failed"
    sandbox.script(redteaming_topics=[42])
    _, status, _ = sandbox.run()
    resumed = step(status, "import")
    assert (resumed["state"], resumed["attempt"]) == ("Succeeded", 1)


def test_what_a_step_finishes_before_it_ends_counts(sandbox: Sandbox) -> None:
    sandbox.script(**{"import": ["finish"]})
    process = sandbox.start()
    wait_until(lambda: started(sandbox, "import"))
    process.send_signal(signal.SIGTERM)
    code, status, _ = sandbox.finish(process)
    assert code == 143 and step(status, "import")["state"] == "Succeeded"
    assert [line for line in sandbox.journal() if line.startswith("start")] == ["start import"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_preflight_refuses_nothing(sandbox: Sandbox, number: signal.Signals) -> None:
    sandbox.script(preflight="hang")
    process = sandbox.start()
    wait_until(lambda: started(sandbox, "preflight"))
    process.send_signal(number)
    code, status, _ = sandbox.finish(process)
    assert code == 128 + number and status["phase"] == "Preflight" and not status.get("problems")


def test_a_step_that_sigterm_ended_without_a_handler_has_not_crashed(sandbox: Sandbox) -> None:
    sandbox.script(**{"import": ["unhandled", 42]})
    process = sandbox.start("spec.retries.perStage=0")
    wait_until(lambda: started(sandbox, "import") and len(sandbox.standins()) == 1)
    os.kill(sandbox.standins()[0], signal.SIGTERM)
    _, status, err = sandbox.finish(process)
    assert step(status, "import")["attempt"] == 2 and "retrying" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_before_anything_has_begun_a_signal_ends_the_command(number: signal.Signals) -> None:
    code = (
        "import signal\nfrom selfalign_operator.local.interrupts import ending_at_once\n"
        f"with ending_at_once():\n    signal.raise_signal({int(number)})\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 128 + number
