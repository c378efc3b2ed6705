"""What a folder as a store adds to the guarantees of every store: names, links, other people's files, broken reads."""

import ctypes
import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from selfalign_stages.artifacts.file_store import FileStore
from selfalign_stages.contract.exits import BadInput, Unavailable
from selfalign_stages.step.store import SET_ASIDE

USES: dict[str, Callable[[FileStore, str], object]] = {
    "open": lambda store, name: store.open(name),
    "put": lambda store, name: store.put(name, b"x"),
    "put_file": lambda store, name: store.put_file(name, Path(__file__)),
    "replace": lambda store, name: store.replace(name, b"x"),
    "delete": lambda store, name: store.delete(name),
    "set_aside": lambda store, name: store.set_aside(name),
    "list": lambda store, name: list(store.list(f"{name}/")),
}
HOSTILE = [
    "../outside",
    "/etc/passwd",
    "a/../../b",
    "a//b",
    "a/./b",
    "a\\b",
    "a\nb",
    "a\x1b[2Jb",
    "a\0b",
    "\udcff",
    "..",
]


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    store = FileStore(tmp_path / "store")
    store.put("a/b", b"content")
    return store


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("use", USES)
def test_no_name_leaves_the_root(store: FileStore, use: str, name: str) -> None:
    with pytest.raises(BadInput) as refused:
        USES[use](store, name)
    assert refused.value.reason == "PathEscapes"


@pytest.mark.parametrize("use", USES)
def test_no_link_leaves_the_root(store: FileStore, tmp_path: Path, use: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (store.root / "file").symlink_to(outside / "secret")
    (store.root / "folder").symlink_to(outside)
    (store.root / "new").symlink_to(outside / "new")
    for name in ("file", "folder/secret", "folder/new", "new"):
        with pytest.raises(BadInput) as refused:
            USES[use](store, name)
        assert refused.value.reason == "PathEscapes"
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_text() == "secret"


def test_a_listing_names_the_link_that_leads_out_and_works_once_the_file_itself_is_there(
    store: FileStore, tmp_path: Path
) -> None:
    (tmp_path / "moved").write_bytes(b"12345")
    (store.root / "a" / "c").symlink_to(tmp_path / "moved")
    with pytest.raises(BadInput, match=r"a/c: is a link that leaves .*; put the file itself there"):
        list(store.list("a/"))
    (tmp_path / "moved").replace(store.root / "a" / "c")
    assert [(info.name, info.size) for info in store.list("a/")] == [("a/b", 7), ("a/c", 5)]


def test_links_in_a_circle_are_refused_and_never_followed(store: FileStore) -> None:
    (store.root / "circle").symlink_to(store.root / "circle")
    (store.root / "a" / "up").symlink_to(store.root)
    for use in ("open", "put", "replace"):
        with pytest.raises(BadInput, match="circle"):
            USES[use](store, "circle/x")
    (store.root / "circle").unlink()
    assert [info.name for info in store.list("")] == ["a/b"]


def test_a_folder_is_no_object(store: FileStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.open("a")
    assert store.set_aside("a") is None
    store.delete("a")
    assert [info.name for info in store.list("")] == ["a/b"]


def test_below_an_object_there_are_no_others(store: FileStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.open("a/b/c")
    assert list(store.list("a/b/")) == []
    assert store.set_aside("a/b/c") is None
    store.delete("a/b/c")


def in_the_way(store: FileStore, what: str) -> tuple[str, Path]:
    """Puts something that is no object in the way of one; the object's name and what to remove."""
    target = store.root / "x"
    if what == "folder":
        target.mkdir()
    elif what == "pipe":
        os.mkfifo(target)
    elif what == "dangling link":
        target.symlink_to(store.root / "nothing")
    else:
        target.write_bytes(b"file")
        return "x/y", target
    return "x", target


@pytest.mark.parametrize("what", ["folder", "pipe", "dangling link", "file"])
@pytest.mark.parametrize("use", ["put", "put_file"])
def test_what_is_in_the_way_of_an_object_is_named_and_once_it_is_moved_the_object_is_created(
    store: FileStore, use: str, what: str
) -> None:
    name, taken = in_the_way(store, what)
    with pytest.raises(BadInput, match=rf"since {taken} exists and is no \w+; move it away") as refused:
        USES[use](store, name)
    assert refused.value.reason == "NameTaken"
    with pytest.raises(FileNotFoundError):  # and a pipe, above all, is not waited for
        store.open(name)
    taken.rename(store.root.parent / "moved")
    assert USES[use](store, name) is True


def test_a_file_in_the_place_of_the_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    store = FileStore(tmp_path / "store")
    with pytest.raises(BadInput, match=f"cannot be used as a store: {tmp_path}/store is no folder"):
        store.probe()
    assert list(store.list("")) == []


def test_names_of_unfinished_files_are_reserved(store: FileStore) -> None:
    with pytest.raises(BadInput, match="names of unfinished files begin with"):
        store.put("a/.tmp-x", b"")


def test_files_that_no_object_can_be_are_not_listed(store: FileStore) -> None:
    for name in (".tmp-unfinished", "back\\slash", "control\x07"):
        (store.root / "a" / name).write_bytes(b"x")
    (store.root / os.fsdecode(b"not-utf-8-\xff")).write_bytes(b"x")
    os.mkfifo(store.root / "pipe")
    (store.root / "dangling").symlink_to(store.root / "nothing")
    assert [info.name for info in store.list("")] == ["a/b"]


def test_objects_that_vanish_during_a_listing_are_left_out(store: FileStore) -> None:
    def churn(number: int) -> None:
        for _ in range(30):
            store.put(f"a/{number}", b"x")
            store.delete(f"a/{number}")

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(churn, number) for number in range(2)]
        while not all(one.done() for one in running):
            assert "a/b" in [info.name for info in store.list("a/")]
        for one in running:
            one.result()


def test_an_object_that_is_set_aside_keeps_its_bytes_and_frees_its_name(store: FileStore) -> None:
    moved = store.set_aside("a/b")
    assert moved is not None and moved.startswith(f"{SET_ASIDE}/a/b-") and len(moved) == len(SET_ASIDE) + 13
    with store.open(moved) as stream:
        assert stream.read() == b"content"
    assert store.set_aside("a/b") is None
    assert store.put("a/b", b"again")


def test_of_many_that_set_an_object_aside_one_is_first(store: FileStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        moved = list(pool.map(lambda _: store.set_aside("a/b"), range(8)))
    assert [name for name in moved if name] == [info.name for info in store.list(f"{SET_ASIDE}/")]


def test_the_longest_name_can_be_set_aside(store: FileStore) -> None:
    name = "ä" * 127
    store.put(name, b"x")
    moved = store.set_aside(name)
    assert moved is not None and len(moved.rpartition("/")[2].encode()) <= 255


@pytest.mark.parametrize("read", [lambda s: s.read(), lambda s: [*iter(lambda: s.read(1000), b"")], lambda s: [*s]])
def test_a_file_that_becomes_shorter_while_it_is_read_does_not_end_early(
    store: FileStore, read: Callable[..., object]
) -> None:
    store.put("large", b"line\n" * 100_000)
    with store.open("large") as stream:
        stream.read(10)
        os.truncate(store.root / "large", 300_000)
        with pytest.raises(Unavailable, match=r"reading broke off at byte 300000 of 500000 \(the file became shorter"):
            read(stream)


def without_links(monkeypatch: pytest.MonkeyPatch, *code: int) -> None:
    """Makes link(2) fail as on FAT, and renameat2(2), if a code is given, as on file systems without flags."""

    def link(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    class Library:
        def renameat2(self, *_: object) -> int:
            ctypes.set_errno(code[0])
            return -1

    monkeypatch.setattr(os, "link", link)
    if code:
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library())


def test_without_hard_links_the_first_writer_wins_as_well(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    without_links(monkeypatch)
    store.probe()
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda n: store.put("race", b"%d" % n), range(16)))
    assert won.count(True) == 1
    with store.open("race") as stream:
        assert stream.read() == b"%d" % won.index(True)
    assert [path.name for path in store.root.rglob(".tmp-*")] == []


def test_a_file_system_that_would_overwrite_is_refused_by_the_probe(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_links(monkeypatch, errno.EINVAL)
    with pytest.raises(BadInput, match=f"{store.root}: the file system / .*use a folder on a local disk") as refused:
        store.probe()
    assert refused.value.reason == "ConditionalPutUnsupported"
    assert [path.name for path in store.root.rglob(".tmp-*")] == []


def test_a_link_that_a_network_file_system_made_twice_is_ours(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def answered_late(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", answered_late)
    assert store.put("new", b"x")
    assert not store.put("new", b"y")
