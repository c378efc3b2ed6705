"""The working folder of `selfalign run`: full, read-only, no folder, without locks, and after a kill."""

import errno
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import small_disk
from tests.operator.builders import NOW
from tests.operator.sandbox import Sandbox, opened, wait_until

from selfalign_operator.local import workdir as workdirs
from selfalign_operator.local.machine import Machine
from selfalign_operator.local.process_table import ProcessTable
from selfalign_operator.local.workdir import Workdir
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.task import StoreLocation, Task

TASK = Task(id="import", kind="import", key="k", seed=1, store=StoreLocation(uri="file:///s"), parameters={})


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with opened(tmp_path) as sandbox:
        yield sandbox


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk.mounted(tmp_path / "disk") as folder:
        yield folder


def refused(sandbox: Sandbox, folder: Path) -> str:
    """What `run` says to a working folder that it cannot use; it has started nothing then."""
    code, _, err = sandbox.run(workdir=folder)
    assert code == 1 and sandbox.journal() == []
    assert "Traceback" not in err
    return err


def a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file"


def below_a_file(folder: Path) -> Path:
    return a_file(folder) / "work"


def a_circle(folder: Path) -> Path:
    (folder / "circle").symlink_to(folder / "circle")
    return folder / "circle"


def too_long(folder: Path) -> Path:
    return folder / ("x" * 300)


def another_lock(folder: Path) -> Path:
    (folder / "work" / "lock").mkdir(parents=True)
    return folder / "work"


UNUSABLE: list[tuple[Callable[[Path], Path], str]] = [
    (a_file, "file: cannot be used: {folder}/file is no folder"),
    (below_a_file, "cannot be used: {folder}/file is no folder"),
    (a_circle, "circle: cannot be used: "),
    (too_long, "cannot be used: File name too long"),
    (another_lock, "lock: cannot be used: Is a directory"),
]


@pytest.mark.parametrize(("make", "message"), UNUSABLE)
def test_a_path_that_can_be_no_working_folder_is_named_with_what_is_in_the_way(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    path = make(tmp_path)
    with pytest.raises(BadInput) as error, workdirs.locked(workdirs.at(path, "trial")):
        pytest.fail("it was locked")
    assert message.format(folder=tmp_path) in str(error.value)
    assert "use another --workdir" in str(error.value)


def test_a_link_that_leads_to_no_folder_yet_gets_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "larger disk" / "work")
    with workdirs.locked(workdirs.at(tmp_path / "link", "trial")):
        assert (tmp_path / "larger disk" / "work" / "lock").exists()


def test_a_current_directory_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(BadInput, match="the current directory no longer exists"):
        workdirs.at(Path("work"), "trial")


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_locks_is_not_a_folder_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(BadInput, match="the file system / cannot lock files .*local disk") as error:
        with workdirs.locked(Workdir(tmp_path, "trial")):
            pytest.fail("it was locked")
    assert error.value.reason == "WorkdirUnusable"


def test_a_run_in_a_file_says_so(sandbox: Sandbox) -> None:
    assert "is no folder; free space or permit it there, or use another" in refused(sandbox, a_file(sandbox.folder))


def test_a_run_on_a_read_only_disk_says_so(sandbox: Sandbox, disk: Path) -> None:
    with workdirs.locked(Workdir(disk / "work", "trial")):
        pass
    small_disk.make_read_only(disk)
    assert f"the file system {disk} is read-only; " in refused(sandbox, disk / "work")
    assert f"the file system {disk} is read-only; " in refused(sandbox, disk / "new")


def test_a_run_on_a_full_disk_says_so(sandbox: Sandbox, disk: Path) -> None:
    small_disk.fill(disk)
    assert f"the file system {disk} ran full;" in refused(sandbox, disk / "work")


def test_a_disk_that_fills_up_during_a_run_fails_it_and_a_rerun_goes_on_once_space_is_freed(
    sandbox: Sandbox, disk: Path
) -> None:
    sandbox.script(**{"import": ["hang", 42]})
    run = sandbox.start(workdir=disk / "work")
    wait_until(lambda: "start import" in sandbox.journal() and len(sandbox.standins()) == 1)
    small_disk.fill(disk)
    # Its next attempt finds no space for the task file.
    os.kill(sandbox.standins()[0], signal.SIGKILL)
    code, status, err = sandbox.finish(run)
    assert code == 1 and status["phase"] == "Failed" and "Traceback" not in err
    assert f"DoesNotFit: import: cannot be started: {disk / 'work'}" in err
    assert f"the file system {disk} ran full;" in err and "use another --workdir" in err
    assert [path for path in (disk / "work" / "runs").rglob("task.json") if path.stat().st_size == 0] == []
    (disk / "ballast").unlink()
    assert "import: the script requests exit code 42" in sandbox.run(workdir=disk / "work")[2]


def test_an_attempt_that_cannot_be_started_has_neither_process_nor_an_old_log(tmp_path: Path) -> None:
    paths = Workdir(tmp_path / "work", "trial")
    paths.log("import", 1).parent.mkdir(parents=True)
    paths.log("import", 1).write_text("of a run before")
    (tmp_path / "work" / "runs").write_text("a file in the way")
    table = ProcessTable(paths, Machine(cores=1, gpus=0), ["true"])
    table.start("import", kind="import", key="k", number=1, task=TASK, now=NOW)
    last = table.last("import")
    assert last is not None and last.exit_code == 42 and last.failure is not None
    assert f"{tmp_path / 'work' / 'runs'} is no folder" in last.failure.message
    assert not table.any_running and table.log("import") is None


def test_what_a_killed_run_left_in_scratch_is_gone_once_a_run_of_any_name_has_begun(sandbox: Sandbox) -> None:
    sandbox.script(**{"import": ["hang"]})
    process = sandbox.start()
    wait_until(lambda: "start import" in sandbox.journal())
    left = sandbox.folder / "work" / "scratch" / "trial" / "import"
    (left / "shard").write_bytes(b"half")
    (sandbox.folder / "work" / "runs" / "trial" / "import-1" / "result.json.partial").write_text('{"key": "ha')
    process.kill()
    process.communicate()
    wait_until(lambda: sandbox.standins() == [])
    with workdirs.locked(Workdir(sandbox.folder / "work", "another")):
        assert not left.exists()
    assert list((sandbox.folder / "work").rglob("*.partial")) == []


def test_scratch_may_be_a_link_to_another_disk(tmp_path: Path) -> None:
    (tmp_path / "larger" / "trial" / "import").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "scratch").symlink_to(tmp_path / "larger")
    with workdirs.locked(Workdir(tmp_path / "work", "trial")):
        assert list((tmp_path / "larger" / "trial").iterdir()) == []
    assert (tmp_path / "work" / "scratch").is_symlink()


def test_neither_an_old_result_nor_half_of_one_counts(tmp_path: Path) -> None:
    paths = Workdir(tmp_path / "work", "trial")
    folder = paths.messages("import", 1)
    folder.mkdir(parents=True)
    for name in ("result.json", "result.json.partial"):
        (folder / name).write_text('{"key": "k", "cache": "Hit", "digest": "sha256:0"}')
    table = ProcessTable(paths, Machine(cores=1, gpus=0), ["true"])
    table.start("import", kind="import", key="k", number=1, task=TASK, now=NOW)
    wait_until(lambda: table.reap(NOW) == ["import"])
    last = table.last("import")
    assert last is not None and (last.exit_code, last.result) == (0, None)
    assert [path.name for path in folder.iterdir()] == ["task.json"]
