"""Two runs on one file:// store make each artifact once; the second waits, and takes over when the first one fails."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.operator.builders import NOW
from tests.operator.sandbox import Sandbox, opened, wait_until

from selfalign_operator.local.claims import Claim, Claims, claims_in
from selfalign_operator.local.lock_holder import LockHolder
from selfalign_operator.local.machine import Machine
from selfalign_operator.local.process_table import ProcessTable
from selfalign_operator.local.workdir import Workdir
from selfalign_stages.contract.task import StoreLocation, Task


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with opened(tmp_path) as sandbox:
        yield sandbox


def claims(folder: Path, run: str = "first") -> Claims:
    return claims_in(StoreLocation(uri=(folder / "a store").as_uri()), LockHolder.of_this_process(run))


def claimed(found: Claim | LockHolder) -> Claim:
    assert isinstance(found, Claim)
    return found


def test_a_claimed_artifact_names_its_holder_and_is_free_once_released(tmp_path: Path) -> None:
    first = claimed(claims(tmp_path).take("train", "k"))
    holder = claims(tmp_path, "second").take("train", "k")
    assert isinstance(holder, LockHolder)
    assert (holder.run, holder.pid, holder.host) == ("first", os.getpid(), socket.gethostname())
    claimed(claims(tmp_path, "second").take("train", "another")).release()
    first.release()
    claimed(claims(tmp_path, "second").take("train", "k")).release()
    assert list((tmp_path / "a store" / "locks").iterdir()) == []


def test_a_lock_on_a_removed_file_is_no_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder releases between the waiter's open and its lock; a third one claims the new file."""
    first = claimed(claims(tmp_path).take("train", "k"))
    lock, third = fcntl.flock, list[Claim]()

    def release_first(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        first.release()
        third.append(claimed(claims(tmp_path, "third").take("train", "k")))
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", release_first)
    holder = claims(tmp_path, "second").take("train", "k")
    assert isinstance(holder, LockHolder) and holder.run == "third"
    third[0].release()


def test_gates_pushes_and_stores_in_s3_have_no_claims(tmp_path: Path) -> None:
    for kind in ("gate", "push", None):
        assert claims(tmp_path).take(kind, "k") == Claim()
    s3 = claims_in(StoreLocation(uri="s3://bucket/prefix"), LockHolder.of_this_process("x"))
    assert s3.take("train", "k") == Claim()
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_locked_is_used_without_claims(tmp_path: Path) -> None:
    (tmp_path / "a store").mkdir()
    (tmp_path / "a store" / "locks").write_text("a file in the way")
    assert claims(tmp_path).take("train", "k") == Claim()


def test_a_step_that_takes_over_waits_for_a_free_slot(tmp_path: Path) -> None:
    """Two models at a time would not fit a GPU."""
    program = [sys.executable, "-c", "import signal; signal.pause()"]
    machine = Machine(cores=1, gpus=1)
    table = ProcessTable(Workdir(tmp_path / "work", "second"), machine, program, claims(tmp_path, "second"))
    other = claimed(claims(tmp_path).take("score", "k"))
    task = Task(id="score", kind="score", key="k", seed=1, store=StoreLocation(uri="file:///s"), parameters={})
    table.start("score", kind="score", key="k", number=1, task=task, now=NOW)
    table.start("train", kind="train", key="t", number=1, task=task, now=NOW)

    def pending() -> str | None:
        table.start_waiting(NOW)
        last = table.last("score")
        return last.pending.reason if last is not None and last.pending is not None else None

    assert pending() == "WaitingForRun" and table.log("score") is None
    other.release()
    assert pending() == "WaitingForSlot" and table.log("score") is None
    table.stop("train")
    wait_until(lambda: table.reap(NOW) == ["train"])
    assert pending() is None and table.log("score") is not None
    table.kill_all()
    wait_until(lambda: table.reap(NOW) == ["score"])


def starts(sandbox: Sandbox) -> Counter[str]:
    return Counter(line.removeprefix("start ") for line in sandbox.journal() if line.startswith("start "))


def two_runs(sandbox: Sandbox) -> tuple[subprocess.Popen[str], subprocess.Popen[str], str]:
    """Two runs on one store, in working folders of their own: the first imports, the second waits, with its line."""
    artifacts = f"spec.artifacts={{uri: 'file://{sandbox.folder}/store'}}"
    first = sandbox.start(artifacts, workdir=sandbox.folder / "one")
    wait_until(lambda: starts(sandbox)["import"] == 1)
    second = sandbox.start(artifacts, workdir=sandbox.folder / "two")
    assert second.stderr is not None
    line = next(line for line in second.stderr if line.startswith("import: "))
    return first, second, line.rstrip()


def test_the_second_run_waits_for_the_first_and_every_artifact_is_made_once(sandbox: Sandbox) -> None:
    sandbox.script(**{"import": ["finish"]})
    first, second, line = two_runs(sandbox)
    whom = f"run trial (process {first.pid} on {socket.gethostname()})"
    assert line == f"import: waits for {whom}, which makes the same artifact"
    os.kill(sandbox.standins()[0], signal.SIGTERM)
    assert sandbox.finish(first)[0] == sandbox.finish(second)[0] == 0
    assert {step for step, count in starts(sandbox).items() if count > 1} <= {"evaluation-gate"}
    assert list((sandbox.folder / "store" / "locks").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_second_run_takes_over_when_the_first_one_dies(sandbox: Sandbox, number: signal.Signals) -> None:
    sandbox.script(**{"import": ["hang"], "redteaming-topics": [42]})
    first, second, _ = two_runs(sandbox)
    first.send_signal(number)
    first.communicate()
    _, _, err = sandbox.finish(second)
    assert "import: done" in err
    assert starts(sandbox)["import"] == 2


def test_the_second_run_takes_over_when_the_first_one_fails(sandbox: Sandbox) -> None:
    sandbox.script(**{"import": ["hang", 42, "finish"]})
    first, second, _ = two_runs(sandbox)
    os.kill(sandbox.standins()[0], signal.SIGKILL)
    # The first run waits before its retry. Whoever comes first then fails, and the other one takes over.
    wait_until(lambda: starts(sandbox)["import"] == 3 and [first.poll(), second.poll()].count(1) == 1)
    for process in (first, second):
        process.terminate()
        process.communicate()


def test_a_run_that_waits_is_interrupted_at_once(sandbox: Sandbox) -> None:
    sandbox.script(**{"import": ["hang"]})
    first, second, _ = two_runs(sandbox)
    second.send_signal(signal.SIGINT)
    code, status, _ = sandbox.finish(second)
    assert code == 130 and status["phase"] != "Failed"
    assert first.poll() is None
    first.terminate()
    assert sandbox.finish(first)[0] == 143
