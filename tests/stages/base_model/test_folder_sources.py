"""Base models in folders: their listing and digest, and links that could name other files of the machine."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.stages.base_model import contexts, folders

from selfalign_stages.base_model import importing, open_source, sources
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.task import Leaf, StoreLocation

STORE = StoreLocation(uri="file:///nowhere")


def test_the_digest_follows_from_the_content_and_not_from_the_place(tmp_path: Path) -> None:
    here = folders.write(tmp_path / "here", folders.contents())
    there = folders.write(tmp_path / "there and back", folders.contents())
    assert contexts.digest(Leaf(uri=here.as_uri()), tmp_path) == contexts.digest(Leaf(uri=there.as_uri()), tmp_path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_every_part_of_the_model_changes_the_digest(tmp_path: Path, name: str) -> None:
    files = folders.contents()
    here = Leaf(uri=folders.write(tmp_path / "here", files).as_uri())
    changed = files | {name: files[name] + b" "}
    there = Leaf(uri=folders.write(tmp_path / "there", changed).as_uri())
    assert contexts.digest(here, tmp_path) != contexts.digest(there, tmp_path)


def test_a_link_that_leaves_the_folder_is_refused_by_name(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "model", folders.contents())
    secret = tmp_path / "token"
    secret.write_text("secret")
    (folder / "LICENSE").unlink()
    (folder / "LICENSE").symlink_to(secret)
    with pytest.raises(BadInput, match="LICENSE: is a link that leaves") as raised:
        contexts.digest(Leaf(uri=folder.as_uri()), tmp_path)
    assert raised.value.reason == "PathEscapes"


def test_links_within_the_folder_and_into_a_hubs_cache_are_followed(tmp_path: Path) -> None:
    plain = folders.write(tmp_path / "plain", folders.contents())
    cache = tmp_path / "models--harbour--lantern"
    (cache / "snapshots" / "c0ffee").mkdir(parents=True)
    for name, data in folders.contents().items():
        folders.write(cache / "blobs", {f"blob-{name}": data})
        (cache / "snapshots" / "c0ffee" / name).symlink_to(f"../../blobs/blob-{name}")
    snapshot = Leaf(uri=(cache / "snapshots" / "c0ffee").as_uri())
    assert contexts.digest(snapshot, tmp_path) == contexts.digest(Leaf(uri=plain.as_uri()), tmp_path)


def test_the_formula_of_the_digest_is_fixed_since_every_key_of_a_run_depends_on_it() -> None:
    files = [sources.SourceFile("b", 2, "y"), sources.SourceFile("a", 1, "x")]
    assert sources.fingerprint(files) == "sha256:" + folders.sha256(b'[["a",1,"x"],["b",2,"y"]]')


def test_hidden_files_are_not_listed(tmp_path: Path) -> None:
    folder = folders.write(tmp_path, {".git/config.json": b"", ".env": b"", "config.json": b""})
    source = open_source.open_source(Leaf(uri=folder.as_uri()), store=STORE)
    assert [file.path for file in source.list_files()] == ["config.json"]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("file:///no/such/folder", "there is no such folder"),
        ("builtin://nothing", "no such built-in among models"),
        ("builtin://../packs", "no such built-in among models"),
        ("builtin://", "no such built-in among models"),
        ("builtin://..", "no such built-in among models"),
        ("builtin://.", "no such built-in among models"),
        ("builtin://hamlet/", "no such built-in among models"),
        ("ftp://host/model", "use hf://, s3://, file:// or builtin://"),
        ("FILE:///tmp", "use hf://, s3://, file:// or builtin://"),
        ("/tmp", "use hf://, s3://, file:// or builtin://"),
        ("file://host/model", "names a host"),
        ("file://model", "names a host"),
        ("file://[::1/x", "names a host"),
        ("file:///tmp%00", "contains %00"),
        ("file:///%ff", "percent escapes that are not UTF-8"),
        ("file:///tmp?x", "write \\? and # in a folder's name as %3F and %23"),
        ("file:///tmp#x", "write \\? and # in a folder's name as %3F and %23"),
        ("file:///a\nb", "control or invisible character"),
        ("file:///" + "x" * 5000, "cannot be opened: File name too long"),
        ("file:///" + "x/" * 5000, "cannot be opened: File name too long|no such folder"),
        ("s3://", "has no bucket"),
        ("s3:///prefix", "has no bucket"),
        ("s3://user:word@bucket", "has no bucket"),
        ("s3://bucket/" + "x" * 1025, "more than 1024 bytes"),
        ("s3://bucket/a?versionId=1", "has a query or fragment"),
        ("hf://harbour/lantern?x", "has a query or fragment"),
    ],
)
def test_an_address_without_a_model_is_refused(uri: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as raised:
        open_source.open_source(Leaf(uri=uri), store=STORE)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("name", ["a b", "a%b", "%41", "h\u00e4fen", "what?", "a#b", "a:b"])
def test_a_folder_of_any_name_is_opened_by_its_uri(tmp_path: Path, name: str) -> None:
    folder = folders.write(tmp_path / name, folders.contents())
    assert contexts.digest(Leaf(uri=folder.as_uri()), tmp_path)
    assert contexts.digest(Leaf(uri=folder.as_uri().replace("file:///", "file://localhost/")), tmp_path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        # A socket's path has at most 108 bytes.
        os.chdir(path.parent)
        listener.bind(path.name)


NO_FILES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a socket": a_socket,
}


@pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES.keys())
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_what_only_has_the_name_of_a_file_is_refused_without_opening_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = folders.write(tmp_path / "model", folders.contents())
    (folder / name).unlink()
    make(folder / name)
    with pytest.raises(BadInput, match=f"{name}: is no regular file"):
        contexts.digest(Leaf(uri=folder.as_uri()), tmp_path)
    if (folder / name).is_dir():
        (folder / name).rmdir()
    else:
        (folder / name).unlink()
    folders.write(folder, {name: folders.contents()[name]})
    assert contexts.digest(Leaf(uri=folder.as_uri()), tmp_path)


@pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES.keys())
def test_a_file_that_stops_being_one_after_it_was_listed_does_not_block_the_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = folders.write(tmp_path / "model", folders.contents())
    source = open_source.open_source(Leaf(uri=folder.as_uri()), store=STORE)
    source.list_files()
    (folder / "model.safetensors").unlink()
    make(folder / "model.safetensors")
    with pytest.raises(BadInput, match="model.safetensors"):
        source.fetch("model.safetensors", tmp_path / "target")


def test_what_plays_no_part_in_a_model_may_be_anything(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "model", folders.contents())
    digest = contexts.digest(Leaf(uri=folder.as_uri()), tmp_path)
    os.mkfifo(folder / "notes")
    (folder / "LICENSES").mkdir()
    (folder / "NOTICE").mkdir()
    (folder / "loop").symlink_to(folder)
    (folder / "nothing").symlink_to("nowhere")
    assert contexts.digest(Leaf(uri=folder.as_uri()), tmp_path) == digest


def test_the_bytes_that_are_published_are_those_that_were_compared(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "model", folders.contents())
    leaf = Leaf(uri=folder.as_uri())
    leaf = leaf.model_copy(update={"digest": contexts.digest(leaf, tmp_path)})
    context = contexts.context(leaf, tmp_path)
    weights, put_file = folder / "model.safetensors", context.store.put_file

    def change_and_put(name: str, path: Path) -> bool:
        weights.write_bytes(b"others")  # after the comparison, and before the store reads anything
        return put_file(name, path)

    context.store.put_file = change_and_put  # type: ignore[method-assign]
    with pytest.raises(BadInput, match="model.safetensors has 6 bytes") as raised:
        importing.run(context)
    assert raised.value.reason == "BaseModelDamaged"
    assert not list((tmp_path / "store").rglob("manifest.json"))
    assert not [path for path in (tmp_path / "store").rglob("model.safetensors") if path.read_bytes() == b"others"]
