"""SIGTERM at any moment of a stage process is an interruption: never a verdict about the run, never a crash."""

import signal
from pathlib import Path

import pytest
from tests.stages.base_model import folders
from tests.stages.main import processes
from tests.stages.preflight import asking

from selfalign_operator.jobs.job import DEFAULT_GRACE_SECONDS, GRACE_SECONDS
from selfalign_stages.contract.exits import INTERRUPTED_CODES, ExitCode
from selfalign_stages.contract.graph import KINDS
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.task import Leaf
from selfalign_stages.step import stop_deadline

MOMENTS = """
import itertools, os, signal, sys
from selfalign_stages import main
count, moment = itertools.count(), int(os.environ["MOMENT"])
def hook(event, arguments):
    if next(count) == moment:
        os.kill(os.getpid(), signal.Signals[os.environ["SIGNAL"]])
sys.addaudithook(hook)
code = main.main()
if moment < 0:
    print("moments:", next(count))
sys.exit(code)
"""
"""A stage program that signals itself at the audit event of a number: an import, an opened file, a connection."""
SHARES = {"preflight": (0.4, 0.8), "import": (0.0, 0.9)}
"""Moments to try, as shares of all events: imports, checks and reading, and the end."""


def task_of(kind: str, folder: Path) -> Model:
    if kind == "preflight":
        return asking.task(folder)
    return processes.import_task(folder, Leaf(uri=folders.write(folder / "model", folders.contents()).as_uri()))


def run_until(moment: int, folder: Path, kind: str, number: signal.Signals = signal.SIGTERM) -> processes.Ended:
    folder.mkdir()
    variables = {"MOMENT": str(moment), "SIGNAL": number.name}
    process = processes.start(folder, kind, task_of(kind, folder), program=("-c", MOMENTS), **variables)
    return processes.wait(folder, process)


@pytest.mark.parametrize("kind", ["preflight", "import"])
def test_a_signal_at_any_moment_is_an_interruption(tmp_path: Path, kind: str) -> None:
    whole = run_until(-1, tmp_path / "whole", kind)
    assert whole.code == 0, whole.log
    moments = int(whole.log.rpartition("moments: ")[2])
    for share in SHARES[kind]:
        number = signal.SIGINT if share == 0.4 else signal.SIGTERM
        ended = run_until(int(share * moments), tmp_path / str(share), kind, number)
        assert ended.code in (*INTERRUPTED_CODES, ExitCode.PUBLISHED), ended.log
        if ended.code == ExitCode.INTERRUPTED:
            assert ended.result.get("reason", "Interrupted") == "Interrupted"
        if ended.code == ExitCode.PUBLISHED:
            assert not ended.result.get("problems") and "reason" not in ended.result


def test_a_failure_that_follows_a_signal_is_no_verdict(tmp_path: Path) -> None:
    statement = (
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM); raise RuntimeError('a worker of the engine died')"
    )
    task = processes.import_task(tmp_path, Leaf(uri="file:///x"))
    ended = processes.wait(tmp_path, processes.start(tmp_path, "import", task, program=processes.failing(statement)))
    assert (ended.code, ended.result["reason"]) == (ExitCode.INTERRUPTED, "Interrupted")
    assert "a worker of the engine died" in ended.log


def test_a_signal_before_anything_is_imported_is_an_interruption(tmp_path: Path) -> None:
    process = processes.start(tmp_path, "preflight", asking.task(tmp_path))
    process.send_signal(signal.SIGTERM)
    ended = processes.wait(tmp_path, process)
    assert ended.code in INTERRUPTED_CODES and not ended.result


@pytest.mark.parametrize("limit", ["AT_ONCE_SECONDS", "PIECE_SECONDS"])
def test_what_no_signal_can_interrupt_ends_before_the_grace_period(tmp_path: Path, limit: str) -> None:
    wait = "with ThreadPoolExecutor() as pool: pool.submit(threading.Event().wait); signal.raise_signal(signal.SIGTERM)"
    inner = f"with context.stop.at_once():\n        {wait}" if limit == "AT_ONCE_SECONDS" else wait
    imports = "import signal, threading; from concurrent.futures import ThreadPoolExecutor\n    "
    program, code = processes.failing(imports + inner)
    shortened = f"from selfalign_stages.step import stop_deadline\nstop_deadline.{limit} = 0\n"
    process = processes.start(
        tmp_path, "import", processes.import_task(tmp_path, Leaf(uri="file:///x")), program=(program, shortened + code)
    )
    ended = processes.wait(tmp_path, process)
    assert ended.code == ExitCode.INTERRUPTED and "did not end by itself" in ended.log


def test_the_time_to_stop_is_shorter_than_the_grace_period_of_the_pod() -> None:
    assert stop_deadline.piece_seconds("preflight") < DEFAULT_GRACE_SECONDS
    for kind in KINDS:
        assert stop_deadline.piece_seconds(kind) < GRACE_SECONDS.get(kind, DEFAULT_GRACE_SECONDS)
