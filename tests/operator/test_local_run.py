"""`selfalign run` with real processes: ends, resumes, stops, leaves no orphans."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.operator.builders import NOW, manifest

from selfalign_operator.local.machine import Machine
from selfalign_operator.local.process_table import ProcessTable
from selfalign_operator.local.workdir import Workdir
from selfalign_stages.contract.task import Progress, StoreLocation, Task

STANDIN = Path(__file__).with_name("standin.py")
LAUNCH = """
import json, sys
from pathlib import Path
from selfalign_operator import commands
told = json.loads(sys.argv[1])
sys.exit(commands.run(Path(told["file"]), workdir=Path(told["workdir"]), set_values=told["set"], as_json=True,
                      program=tuple(told["program"])))
"""


@dataclass
class Place:
    """A folder with a manifest, a script for the stand-in, and its journal."""

    folder: Path

    def script(self, **told: Any) -> None:
        (self.folder / "script.json").write_text(
            json.dumps({name.replace("_", "-"): value for name, value in told.items()})
        )

    def begin(self, *set_values: str) -> subprocess.Popen[str]:
        program = [sys.executable, str(STANDIN), str(self.folder / "script.json")]
        told = {"file": str(self.folder / "run.yaml"), "workdir": str(self.folder / "work")}
        told_json = json.dumps(told | {"set": set_values, "program": program})
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", LAUNCH, told_json],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
        out, told = process.communicate(timeout=60)
        return process.returncode, json.loads(out) if out else {}, told

    def run(self, *set_values: str) -> tuple[int, dict[str, Any], str]:
        return self.finish(self.begin(*set_values))

    def journal(self) -> list[str]:
        path = self.folder / "journal"
        return path.read_text().splitlines() if path.exists() else []

    def standins(self) -> list[int]:
        """Process ids of stand-ins of this folder that are alive."""
        mark = str(self.folder / "script.json").encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark in words:
                found.append(int(entry.name))
        return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(manifest()))
    found = Place(tmp_path)
    found.script()
    yield found
    for left in found.standins():
        os.kill(left, signal.SIGKILL)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def cache_of(status: dict[str, Any]) -> set[str]:
    return {stage["cache"] for stage in status["stages"]}


def test_a_run_ends_ready_and_a_second_finds_everything(place: Place) -> None:
    code, status, _ = place.run()
    assert code == 0 and status["phase"] == "Ready" and cache_of(status) == {"Miss"}
    assert status["image"]["reference"] == "localhost/x:candidate"
    begun = len(place.journal())
    code, status, _ = place.run()
    assert code == 0 and cache_of(status) == {"Hit"}
    assert len(place.journal()) == begun


def test_a_crash_is_tried_again_and_the_run_still_ends_ready(place: Place) -> None:
    place.script(engraving_train=[9])
    code, status, told = place.run()
    assert code == 0
    assert place.journal().count("start engraving-train") == 2
    assert "engraving-train: attempt 1 ended early" in told


def test_a_failure_tells_the_message_the_log_and_what_to_do(place: Place) -> None:
    place.script(redteaming_topics=[42])
    code, status, told = place.run()
    assert code == 1 and status["phase"] == "Failed"
    assert "redteaming-topics was told to end with 42" in told
    assert "last words of the stand-in" in told
    assert "finished steps stay in the store" in told


def test_a_failed_gate_ends_with_1_and_packs_nothing(place: Place) -> None:
    place.script(gateMetrics={"passed": False, "failedGates": "a.b.c > 1"})
    code, status, told = place.run()
    assert code == 1 and "GateFailed" in told and "a.b.c > 1" in told
    assert "start packaging-image" not in place.journal()
    assert status["evaluation"]["passed"] is False


def test_problems_of_preflight_are_told_by_field(place: Place) -> None:
    place.script(preflight={"problems": [{"field": "spec.baseModel.uri", "message": "no tokenizer"}]})
    code, status, told = place.run()
    assert code == 1 and "spec.baseModel.uri: no tokenizer" in told
    assert status["problems"][0]["field"] == "spec.baseModel.uri"
    assert place.journal() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_children_gently_and_a_rerun_goes_on(place: Place, number: signal.Signals) -> None:
    place.script(selfalign_answers=["hang"])
    process = place.begin()
    until(lambda: "start selfalign-answers" in place.journal())
    until(lambda: len(place.standins()) == 1)
    process.send_signal(number)
    code, status, told = place.finish(process)
    assert code == 130 and "run the same command again" in told
    assert place.standins() == []
    code, status, _ = place.run()
    assert code == 0 and place.journal().count("start redteaming-topics") == 1


def test_kill_9_leaves_no_orphan_and_a_rerun_goes_on(place: Place) -> None:
    place.script(selfalign_answers=["hang"])
    process = place.begin()
    until(lambda: "start selfalign-answers" in place.journal())
    process.kill()
    process.communicate()
    until(lambda: place.standins() == [])
    code, status, _ = place.run()
    assert code == 0 and place.journal().count("start redteaming-topics") == 1


def test_two_runs_in_one_working_folder_do_not_collide(place: Place) -> None:
    place.script(**{"import": ["hang"]})
    first = place.begin()
    until(lambda: "start import" in place.journal())
    code, _, told = place.run()
    assert code == 1 and f"in use by process {first.pid}" in told and "--workdir" in told
    first.terminate()
    assert place.finish(first)[0] == 130


def test_steps_side_by_side_never_exceed_two(place: Place) -> None:
    assert place.run()[0] == 0
    running = most = 0
    for line in place.journal():
        running += 1 if line.startswith("start") else -1
        most = max(most, running)
    assert most <= 2


def test_a_suspended_run_starts_nothing_and_says_why(place: Place) -> None:
    code, _, told = place.run("spec.suspend=true")
    assert code == 1 and "spec.suspend" in told
    assert place.journal() == []


def test_fields_that_only_a_cluster_uses_are_noted(place: Place) -> None:
    code, _, told = place.run("spec.queueName=team-a", "spec.stages.selfAlign.workers=4")
    assert code == 0
    assert "spec.queueName does not apply" in told
    assert "spec.stages.selfAlign.workers does not apply" in told


@pytest.mark.parametrize(
    ("override", "word"),
    [("spec.baseModel.uri=pvc://claim/model", "file://"), ("spec.principles={configMapRef: {name: x}}", "builtin")],
)
def test_what_one_machine_cannot_do_is_a_problem(place: Place, override: str, word: str) -> None:
    code, _, told = place.run(override)
    assert code == 1 and "needs a cluster" in told and word in told


def test_task_files_hold_what_the_step_needs_and_relative_places_are_the_manifests(place: Place) -> None:
    assert place.run("spec.baseModel.uri=file://models/my own")[0] == 0
    folder = place.folder / "work" / "runs" / "trial" / "redteaming-topics-1"
    task = json.loads((folder / "task.json").read_text())
    assert task["leaves"]["pack:queries"]["digest"] == "sha256:pack:queries"
    assert task["inputs"]["baseModel"]["kind"] == "import"
    assert task["store"]["uri"] == (place.folder / "work" / "store").as_uri()
    asked = json.loads((place.folder / "work" / "runs" / "trial" / "preflight-1" / "task.json").read_text())
    assert asked["leaves"]["baseModel"]["uri"] == f"file://{place.folder}/models/my%20own"


def test_progress_is_polled_while_a_step_runs(place: Place) -> None:
    place.script(**{"import": ["hang"]})
    task = Task(id="import", kind="import", key="k", seed=1, store=StoreLocation(uri="file:///s"), parameters={})
    program = [sys.executable, str(STANDIN), str(place.folder / "script.json")]
    attempts = ProcessTable(Workdir(place.folder / "work", "trial"), Machine(cores=2, gpus=0), program)
    attempts.begin("import", kind="import", key="k", number=1, task=task, now=NOW)

    def told() -> Progress | None:
        attempts.poll()
        last = attempts.last("import")
        return last.progress if last else None

    until(lambda: told() is not None)
    assert told() == Progress(done=3, total=12, unit="records", rate=1.5, eta=6)
    attempts.stop("import")
    until(lambda: attempts.reap(NOW) == ["import"])
    assert not attempts.any_running
    last = attempts.last("import")
    assert last is not None and last.exit_code == 75 and last.stopping


@pytest.mark.parametrize(
    ("cores", "gpus", "slots", "threads"), [(1, 0, 1, 1), (2, 0, 2, 1), (8, 0, 2, 4), (8, 1, 1, 8)]
)
def test_threads_depend_on_machine_and_kind_alone(cores: int, gpus: int, slots: int, threads: int) -> None:
    machine = Machine(cores=cores, gpus=gpus)
    assert (machine.slots, machine.threads("answers"), machine.threads("train")) == (slots, threads, cores)


def test_a_second_signal_ends_a_step_that_does_not_listen(place: Place) -> None:
    place.script(**{"import": ["deaf"]})
    process = place.begin()
    until(lambda: "start import" in place.journal())
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    until(lambda: "once more ends them at once" in process.stderr.readline())  # type: ignore[union-attr]
    process.send_signal(signal.SIGINT)
    code, _, _ = place.finish(process)
    assert code == 130 and place.standins() == []


def test_killed_at_any_moment_no_finished_step_is_done_again(place: Place) -> None:
    moments = random.Random(7)
    for _ in range(6):
        process = place.begin()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0.3, 2.0))
        process.kill()
        process.communicate()
        until(lambda: place.standins() == [])
    code, status, _ = place.run()
    assert code == 0 and status["phase"] == "Ready"
    ended: set[str] = set()
    for line in place.journal():
        word, id_ = line.split()
        assert id_ not in ended, f"{id_} was done again"
        ended |= {id_} if word == "end" else set()
    assert len(list((place.folder / "published").iterdir())) == 17
