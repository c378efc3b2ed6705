"""A store on a disk that is full, read-only or without inodes, and what killed writers leave behind."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import small_disk

from selfalign_stages.artifacts import temporaries
from selfalign_stages.artifacts.file_store import FileStore
from selfalign_stages.contract.exits import AccessDenied, DoesNotFit

MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk.mounted(tmp_path / "disk") as folder:
        yield folder


def unfinished(root: Path) -> list[Path]:
    return sorted(root.rglob(f"{temporaries.TEMPORARY}*"))


def test_an_object_that_does_not_fit_leaves_nothing_and_fits_once_space_is_freed(disk: Path, tmp_path: Path) -> None:
    store, source = FileStore(disk / "store"), tmp_path / "source"
    source.write_bytes(bytes(3 * MIB))
    ballast = small_disk.fill(disk, leave=MIB)
    said = (
        rf"{disk}/store/a: the file system {disk} ran full; 3.0 MiB are needed, .* of 4.0 MiB are free now; free space"
    )
    with pytest.raises(DoesNotFit, match=said):
        store.put_file("a", source)
    with pytest.raises(DoesNotFit, match=said):
        store.put("a", source.read_bytes())
    with pytest.raises(DoesNotFit, match=said):
        store.replace("a", source.read_bytes())
    assert unfinished(disk) == [] and list(store.list("")) == []
    ballast.unlink()
    assert store.put_file("a", source)


def test_the_probe_of_a_full_store_names_the_disk(disk: Path) -> None:
    small_disk.fill(disk)
    with pytest.raises(DoesNotFit, match=f"the file system {disk} ran full"):
        FileStore(disk / "store").probe()


def test_a_disk_without_inodes_is_told_from_one_without_space(tmp_path: Path) -> None:
    with small_disk.mounted(tmp_path / "disk", options="nr_inodes=8") as disk:
        store = FileStore(disk / "store")
        with pytest.raises(DoesNotFit, match=rf"{disk} can take \d more files \(inodes\), whatever their size"):
            for number in range(10):
                store.put(str(number), b"x")
        assert unfinished(disk) == []


def test_a_store_on_a_read_only_disk_can_be_read_and_says_why_it_cannot_be_written(disk: Path) -> None:
    FileStore(disk / "store").put("a/b", b"content")
    small_disk.make_read_only(disk)
    store = FileStore(disk / "store")
    with store.open("a/b") as stream:
        assert stream.read() == b"content"
    assert [info.name for info in store.list("")] == ["a/b"]
    assert not store.put("a/b", b"other"), "an object that exists needs no writing"
    for use in (store.probe, lambda: store.put("c", b""), lambda: store.set_aside("a/b"), lambda: store.delete("a/b")):
        with pytest.raises(AccessDenied, match=f"the file system {disk} is read-only; .*spec.artifacts.uri"):
            use()


def test_a_store_that_does_not_exist_is_empty_and_is_created_by_the_first_write(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "some" / "store")
    assert list(store.list("")) == [] and not (tmp_path / "some").exists()
    store.probe()
    assert list((tmp_path / "some" / "store").iterdir()) == []


WRITER = """
import os, signal, sys
from pathlib import Path
from selfalign_stages.artifacts import file_store
from selfalign_stages.artifacts.file_store import FileStore

def killed(temporary, write):
    temporary.write_bytes(b"half")
    print("writing", flush=True)
    sys.stdin.read()

file_store._write = killed
FileStore(Path(sys.argv[1])).put("a/b", b"whole")
"""


def test_what_a_killed_writer_left_is_collected_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None and process.stdout.readline() == b"writing\n"
        return process

    with start() as dead, start() as alive:
        assert len(unfinished(tmp_path)) == 2
        dead.kill()
        dead.wait()
        FileStore(tmp_path).probe()
        (left,) = unfinished(tmp_path)
        assert f"-{alive.pid}-" in left.name
        alive.kill()


@pytest.mark.parametrize(("age", "is_left"), [(23, True), (25, False)])
@pytest.mark.parametrize("name", [f"{'0' * 16}-1-x", "0123456789abcdef0123456789abcdef", f"{os.getpid()}"])
def test_what_another_machine_writes_is_collected_after_a_day(
    tmp_path: Path, name: str, age: int, is_left: bool
) -> None:
    path = tmp_path / "a" / f"{temporaries.TEMPORARY}{name}"
    path.parent.mkdir()
    path.write_bytes(b"")
    written = time.time() - age * 3600
    os.utime(path, (written, written))
    FileStore(tmp_path).probe()
    assert path.exists() == is_left


def test_nothing_outside_the_store_is_collected(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / f"{temporaries.TEMPORARY}x").write_bytes(b"")
    os.utime(outside / f"{temporaries.TEMPORARY}x", (0, 0))
    store = FileStore(tmp_path / "store")
    store.put("a", b"")
    (store.root / "link").symlink_to(outside)
    store.probe()
    assert len(unfinished(outside)) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError(5, "Input/output error"), ValueError])
def test_whatever_ends_a_write_leaves_no_unfinished_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def interrupted(_: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", interrupted)
    (tmp_path / "a").mkdir()
    with pytest.raises(BaseException):  # noqa: B017 - the very kinds that nobody catches
        FileStore(tmp_path).put("a/b", b"x")
    assert unfinished(tmp_path) == []


def test_a_limit_on_the_size_of_files_is_named(tmp_path: Path) -> None:
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from selfalign_stages.artifacts.file_store import FileStore\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({MIB}, {resource.RLIM_INFINITY}))\n"
        "FileStore(Path(sys.argv[1])).put('a', bytes(2 << 20))"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
    assert "2.0 MiB are needed, files of this process may have 1.0 MiB; raise the limit (ulimit -f)" in ended.stderr
    assert unfinished(tmp_path) == []
    without = program.replace("resource.setrlimit", "print")
    assert subprocess.run([sys.executable, "-c", without, str(tmp_path)]).returncode == 0


def test_an_object_is_reported_only_when_file_and_folders_are_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    (tmp_path / "store").mkdir()
    store = FileStore(tmp_path / "store")
    store.put("a/b/c", b"x")
    assert synced[:2] == ["store", "a"], "the new folders' names"
    assert synced[2].startswith(temporaries.TEMPORARY) and synced[3:] == ["b"]
    synced.clear()
    store.replace("a/b/c", b"y")
    assert synced[0].startswith(temporaries.TEMPORARY) and synced[1:] == ["b"]
