"""`selfalign run` with real processes: success, resumption, interruption, and no orphans."""

import contextlib
import json
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.operator.builders import NOW
from tests.operator.sandbox import STANDIN, Sandbox, opened, wait_until

from selfalign_operator.local.machine import Machine
from selfalign_operator.local.process_table import ProcessTable
from selfalign_operator.local.workdir import Workdir
from selfalign_stages.contract.task import Progress, StoreLocation, Task


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with opened(tmp_path) as sandbox:
        yield sandbox


def cache_of(status: dict[str, Any]) -> set[str]:
    return {stage["cache"] for stage in status["stages"]}


def test_a_run_becomes_ready_and_a_second_one_reuses_every_artifact(sandbox: Sandbox) -> None:
    code, status, _ = sandbox.run()
    assert code == 0 and status["phase"] == "Ready" and cache_of(status) == {"Miss"}
    assert status["image"]["reference"] == "localhost/x:candidate"
    entries = len(sandbox.journal())
    code, status, _ = sandbox.run()
    assert code == 0 and cache_of(status) == {"Hit"}
    assert len(sandbox.journal()) == entries


def test_a_lost_input_is_made_anew_and_the_run_becomes_ready(sandbox: Sandbox) -> None:
    sandbox.script(engraving_train=["lost answers"])
    code, status, _ = sandbox.run()
    starts = [line.removeprefix("start ") for line in sandbox.journal() if line.startswith("start ")]
    assert code == 0 and status["phase"] == "Ready"
    repeated = {name for name in starts if starts.count(name) > 1}
    assert repeated == {"selfalign-answers", "engraving-train"} and len(starts) == len(set(starts)) + 2


def test_a_run_that_lost_an_input_too_often_continues_when_it_is_run_again(sandbox: Sandbox) -> None:
    sandbox.script(engraving_train=["lost answers"])
    code, status, err = sandbox.run("spec.retries.perStage=0")
    assert code != 0 and "InputLost: engraving-train: answers is damaged, moved to set-aside/x" in err
    assert "run the same command again: it makes what was lost anew" in err
    code, status, _ = sandbox.run("spec.retries.perStage=0")
    assert code == 0 and status["phase"] == "Ready"
    assert sandbox.journal().count("start import") == 1 and sandbox.journal().count("start selfalign-answers") == 2


def test_a_crash_is_retried_and_the_run_becomes_ready(sandbox: Sandbox) -> None:
    sandbox.script(engraving_train=[9])
    code, status, err = sandbox.run()
    assert code == 0
    assert sandbox.journal().count("start engraving-train") == 2
    assert "engraving-train: attempt 1 failed, retrying" in err


def test_a_failure_is_printed_with_message_log_and_remedy(sandbox: Sandbox) -> None:
    sandbox.script(redteaming_topics=[42])
    code, status, err = sandbox.run()
    assert code == 1 and status["phase"] == "Failed"
    assert "redteaming-topics: the script requests exit code 42" in err
    assert "last line of the log" in err
    assert "finished steps stay in the store" in err


def test_a_failed_gate_exits_with_1_and_builds_no_image(sandbox: Sandbox) -> None:
    sandbox.script(gateMetrics={"passed": False, "failedGates": "a.b.c > 1"})
    code, status, err = sandbox.run()
    assert code == 1 and "GateFailed" in err and "a.b.c > 1" in err
    assert "start packaging-image" not in sandbox.journal()
    assert status["evaluation"]["passed"] is False


def test_problems_of_preflight_are_printed_with_their_fields(sandbox: Sandbox) -> None:
    sandbox.script(preflight={"problems": [{"field": "spec.baseModel.uri", "message": "no tokenizer"}]})
    code, status, err = sandbox.run()
    assert code == 1 and "spec.baseModel.uri: no tokenizer" in err
    assert status["problems"][0]["field"] == "spec.baseModel.uri"
    assert sandbox.journal() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_steps_and_a_rerun_resumes(sandbox: Sandbox, number: signal.Signals) -> None:
    sandbox.script(selfalign_answers=["hang"])
    process = sandbox.start()
    wait_until(lambda: "start selfalign-answers" in sandbox.journal())
    wait_until(lambda: len(sandbox.standins()) == 1)
    process.send_signal(number)
    code, status, err = sandbox.finish(process)
    assert code == 128 + number and "run the same command again" in err
    assert sandbox.standins() == []
    code, status, _ = sandbox.run()
    assert code == 0 and sandbox.journal().count("start redteaming-topics") == 1


def test_kill_9_leaves_no_orphan_and_a_rerun_resumes(sandbox: Sandbox) -> None:
    sandbox.script(selfalign_answers=["hang"])
    process = sandbox.start()
    wait_until(lambda: "start selfalign-answers" in sandbox.journal())
    process.kill()
    process.communicate()
    wait_until(lambda: sandbox.standins() == [])
    code, status, _ = sandbox.run()
    assert code == 0 and sandbox.journal().count("start redteaming-topics") == 1


def test_a_second_command_in_a_working_folder_is_refused(sandbox: Sandbox) -> None:
    sandbox.script(**{"import": ["hang"], "redteaming-topics": [42, 42]})
    first = sandbox.start()
    wait_until(lambda: "start import" in sandbox.journal())
    code, _, err = sandbox.run()
    assert code == 75
    begin = f"{sandbox.folder / 'work'} is in use by process {first.pid} on {socket.gethostname()} (run trial since 20"
    assert err.startswith(begin) and err.endswith("UTC): wait until it ends, or use another --workdir\n")
    # Both remedies. The runs begin, and fail where the script says.
    assert "redteaming-topics: the script requests" in sandbox.run(workdir=sandbox.folder / "another")[2]
    first.terminate()
    assert sandbox.finish(first)[0] == 143
    assert "redteaming-topics: the script requests" in sandbox.run()[2]


def test_at_most_two_steps_run_in_parallel(sandbox: Sandbox) -> None:
    assert sandbox.run()[0] == 0
    running = most = 0
    for line in sandbox.journal():
        running += 1 if line.startswith("start") else -1
        most = max(most, running)
    assert most <= 2


def test_a_suspended_run_starts_nothing_and_names_the_field(sandbox: Sandbox) -> None:
    code, _, err = sandbox.run("spec.suspend=true")
    assert code == 1 and "spec.suspend" in err
    assert sandbox.journal() == []


def test_fields_without_effect_on_one_machine_are_noted(sandbox: Sandbox) -> None:
    code, _, err = sandbox.run("spec.queueName=team-a", "spec.stages.selfAlign.workers=4")
    assert code == 0
    assert "spec.queueName does not apply" in err
    assert "spec.stages.selfAlign.workers does not apply" in err


@pytest.mark.parametrize(
    ("override", "word"),
    [("spec.baseModel.uri=pvc://claim/model", "file://"), ("spec.principles={configMapRef: {name: x}}", "builtin")],
)
def test_fields_that_need_a_cluster_are_problems(sandbox: Sandbox, override: str, word: str) -> None:
    code, _, err = sandbox.run(override, "spec.stages.evaluation.suites=[{name: hhh, format: hhh, uri: 'pack://hhh'}]")
    assert code == 1 and "needs a cluster" in err and word in err


def test_task_files_name_leaves_inputs_and_store_and_relative_paths_start_at_the_manifest(sandbox: Sandbox) -> None:
    assert sandbox.run("spec.baseModel.uri=file://models/my own")[0] == 0
    folder = sandbox.folder / "work" / "runs" / "trial" / "redteaming-topics-1"
    task = json.loads((folder / "task.json").read_text())
    assert task["leaves"]["pack:queries"]["digest"] == "sha256:pack:queries"
    assert task["inputs"]["baseModel"]["kind"] == "import"
    assert task["store"]["uri"] == (sandbox.folder / "work" / "store").as_uri()
    preflight = json.loads((sandbox.folder / "work" / "runs" / "trial" / "preflight-1" / "task.json").read_text())
    assert preflight["leaves"]["baseModel"]["uri"] == f"file://{sandbox.folder}/models/my%20own"


def test_progress_is_polled_while_a_step_runs(sandbox: Sandbox) -> None:
    sandbox.script(**{"import": ["hang"]})
    task = Task(id="import", kind="import", key="k", seed=1, store=StoreLocation(uri="file:///s"), parameters={})
    program = [sys.executable, str(STANDIN), str(sandbox.folder / "script.json")]
    processes = ProcessTable(Workdir(sandbox.folder / "work", "trial"), Machine(cores=2, gpus=0), program)
    processes.start("import", kind="import", key="k", number=1, task=task, now=NOW)

    def progress() -> Progress | None:
        processes.poll()
        last = processes.last("import")
        return last.progress if last else None

    wait_until(lambda: progress() is not None)
    assert progress() == Progress(done=3, total=12, unit="records", rate=1.5, eta=6)
    processes.stop("import")
    wait_until(lambda: processes.reap(NOW) == ["import"])
    assert not processes.any_running
    last = processes.last("import")
    assert last is not None and last.exit_code == 75 and last.stopping


@pytest.mark.parametrize(
    ("cores", "gpus", "slots", "threads"), [(1, 0, 1, 1), (2, 0, 2, 1), (8, 0, 2, 4), (8, 1, 1, 8)]
)
def test_threads_depend_on_machine_and_kind_only(cores: int, gpus: int, slots: int, threads: int) -> None:
    machine = Machine(cores=cores, gpus=gpus)
    assert (machine.slots, machine.threads("score"), machine.threads("train")) == (slots, threads, cores)


def test_a_second_signal_kills_a_step_that_ignores_sigterm(sandbox: Sandbox) -> None:
    sandbox.script(**{"import": ["ignore-sigterm"]})
    process = sandbox.start()
    wait_until(lambda: "start import" in sandbox.journal())
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    wait_until(lambda: "press Ctrl-C once more to kill them" in process.stderr.readline())  # type: ignore[union-attr]
    process.send_signal(signal.SIGINT)
    code, _, _ = sandbox.finish(process)
    assert code == 130 and sandbox.standins() == []


def test_killed_at_any_moment_no_finished_step_is_repeated(sandbox: Sandbox) -> None:
    moments = random.Random(7)
    for _ in range(6):
        process = sandbox.start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0.3, 2.0))
        process.kill()
        process.communicate()
        wait_until(lambda: sandbox.standins() == [])
    code, status, _ = sandbox.run()
    assert code == 0 and status["phase"] == "Ready"
    ended: set[str] = set()
    for line in sandbox.journal():
        word, id_ = line.split()
        assert id_ not in ended, f"{id_} was repeated"
        ended |= {id_} if word == "end" else set()
    assert len(list((sandbox.folder / "published").iterdir())) == 18
