"""A stage process whose disk is full: the place is named, and the exit code is right even if nothing can be written."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import pytest
import safetensors.numpy
import tokenizers
from tests import small_disk
from tests.operator import builders
from tests.stages.base_model import folders
from tests.stages.main import processes

from selfalign_operator.jobs.overlay import overlay
from selfalign_operator.jobs.resolved_placement import resolve_placement
from selfalign_operator.planning import graph
from selfalign_stages.contract.exits import DoesNotFit, ExitCode
from selfalign_stages.contract.task import Leaf, Task
from selfalign_stages.step import disk_errors
from selfalign_stages.step.disk_errors import POD_REMEDY

FILL = "(context.scratch / 'x').write_bytes(bytes(8 << 20))"


def write(folder: Path) -> None:
    (folder / "x").write_bytes(bytes(8 << 20))


def copy(folder: Path) -> None:
    shutil.copyfile("/dev/zero", folder / "x")


def save_tensors(folder: Path) -> None:
    safetensors.numpy.save_file({"a": numpy.zeros(1 << 20)}, folder / "x")


def save_tokenizer(folder: Path) -> None:
    words = {f"word {number}": number for number in range(200_000)}
    tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "word 0")).save(str(folder / "x"))


def wrap(folder: Path) -> None:
    try:
        write(folder)
    except OSError as error:
        raise RuntimeError("the library failed") from error


def fail_as_torch_does(_: Path) -> None:
    # What torch.save raises on a full disk; importing torch for it would take seconds.
    try:
        raise RuntimeError("basic_ios::clear: iostream error")
    finally:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534")


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return processes.import_task(tmp_path, Leaf(uri=folders.write(tmp_path / "model", folders.contents()).as_uri()))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk.mounted(tmp_path / "disk") as folder:
        (folder / "scratch").mkdir()
        yield folder


def run(folder: Path, task: Task, scratch: Path, statement: str, **environment: str) -> processes.Ended:
    program = processes.failing(statement)
    started = processes.start(folder, "import", task, "--scratch", str(scratch), program=program, **environment)
    return processes.wait(folder, started)


@pytest.mark.parametrize("fill", [write, copy, save_tensors, save_tokenizer, wrap, fail_as_torch_does])
def test_whatever_library_fills_the_disk_it_is_that_disk_which_is_named(
    disk: Path, fill: Callable[[Path], None]
) -> None:
    scratch = disk / "scratch"
    with pytest.raises(Exception) as raised:
        fill(scratch)
    explained = disk_errors.explain(raised.value, scratch=scratch, in_pod=False)
    assert isinstance(explained, DoesNotFit)
    assert str(explained).startswith(str(scratch)) and f"the file system {disk} ran full;" in str(explained)
    assert "free space there, or use another --workdir" in str(explained)


@pytest.mark.parametrize(
    "error", [ValueError("no space"), ConnectionResetError(104, "reset"), PermissionError(13, "x")]
)
def test_what_has_nothing_to_do_with_a_disk_is_left_alone(tmp_path: Path, error: Exception) -> None:
    assert disk_errors.explain(error, scratch=tmp_path, in_pod=False) is None


def test_a_scratch_folder_that_is_too_small_ends_with_44_and_is_left_empty(
    tmp_path: Path, task: Task, disk: Path
) -> None:
    ended = run(tmp_path, task, disk / "scratch", FILL)
    assert (ended.code, ended.result["reason"]) == (ExitCode.DOES_NOT_FIT, "DoesNotFit")
    assert "of 4.0 MiB are free now; free space there, or use another --workdir" in ended.result["message"]
    assert list((disk / "scratch").iterdir()) == []
    ended = run(tmp_path, task, tmp_path, f"{FILL}; raise ValueError('went on')")
    assert ended.result["message"] == "ValueError: went on"


def test_in_a_pod_the_remedy_is_one_of_the_pods_spec(tmp_path: Path, task: Task, disk: Path) -> None:
    in_pod = {"SELFALIGN_TASK": task.model_dump_json(by_alias=True)}
    ended = run(tmp_path, task, disk / "scratch", FILL, **in_pod)
    assert POD_REMEDY in ended.result["message"]


def test_ephemeral_storage_as_the_remedy_says_arrives_in_the_pod() -> None:
    size = {"requests": {"ephemeral-storage": "40Gi"}}
    run = builders.run(**{"stages": {"packaging": {"resources": size}}})
    image = next(step for step in graph.steps(run) if step.kind == "image")
    assert resolve_placement(run, image).resources == size
    template = {"spec": {"containers": [{"name": "stage", "resources": size}]}}
    pod = overlay({"spec": {"containers": [{"name": "stage", "image": "x"}]}}, template)
    assert pod["spec"]["containers"] == [{"name": "stage", "image": "x", "resources": size}]


def test_a_folder_for_temporary_files_that_is_full_is_named_and_another_tmpdir_helps(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explained(folder: Path) -> str:
        monkeypatch.setenv("TMPDIR", str(folder))
        monkeypatch.setattr(tempfile, "tempdir", None)
        try:
            with tempfile.NamedTemporaryFile() as file:
                file.write(bytes(8 << 20))
                file.flush()
        except OSError as error:
            return str(disk_errors.explain(error, scratch=None, in_pod=False))
        return "it fits"

    assert "ran full" in explained(disk) and "set TMPDIR to another folder" in explained(disk)
    assert explained(tmp_path) == "it fits"


def test_no_folder_for_temporary_files_at_all_is_no_crash(monkeypatch: pytest.MonkeyPatch, disk: Path) -> None:
    small_disk.fill(disk)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(disk)])
    monkeypatch.setattr(tempfile, "tempdir", None)
    with pytest.raises(FileNotFoundError) as raised:
        tempfile.gettempdir()
    explained = disk_errors.explain(raised.value, scratch=None, in_pod=False)
    assert isinstance(explained, DoesNotFit) and "set TMPDIR" in str(explained)


def test_a_place_that_may_not_be_written_is_named(tmp_path: Path, task: Task) -> None:
    ended = run(tmp_path, task, tmp_path, "open('/sys/x', 'w')")
    assert ended.code == ExitCode.ACCESS_DENIED
    assert ended.result["message"].startswith("/sys/x: user 0 may not write there")


@pytest.mark.parametrize(("statement", "code"), [("raise MemoryError", 44), ("raise ValueError", 1)])
def test_a_log_on_a_full_disk_changes_no_exit_code(tmp_path: Path, task: Task, statement: str, code: int) -> None:
    (tmp_path / "task.json").write_text(task.model_dump_json(by_alias=True))
    arguments = ["import", "--task", str(tmp_path / "task.json"), "--result", str(tmp_path / "result.json")]
    statement = f"print('x' * 100); {statement}"
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, *processes.failing(statement), *arguments],
            stdout=full,
            stderr=full,
            # Buffered, as everywhere but under `selfalign run`: Python writes what is left after `main`.
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        )
    assert ended.returncode == code
    assert json.loads((tmp_path / "result.json").read_bytes())["reason"]


def test_a_result_that_cannot_be_written_changes_no_exit_code_and_leaves_no_half(
    tmp_path: Path, task: Task, disk: Path
) -> None:
    small_disk.fill(disk)
    (tmp_path / "task.json").write_text(task.model_dump_json(by_alias=True))
    arguments = ["import", "--task", str(tmp_path / "task.json"), "--result", str(disk / "result.json")]
    ended = subprocess.run([sys.executable, "-m", "selfalign_stages.main", *arguments], capture_output=True, text=True)
    assert ended.returncode == 0
    assert f"{disk}/result.json: the result cannot be written" in ended.stderr
    assert sorted(path.name for path in disk.iterdir()) == ["ballast", "scratch"]
    again = processes.run(tmp_path, "import", task)
    assert again.result["cache"] == "Hit"
