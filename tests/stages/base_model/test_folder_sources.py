"""Base models in folders: their listing and digest, and links that could name other files of the machine."""

from pathlib import Path

import pytest
from tests.stages.base_model import contexts, folders

from selfalign_stages.base_model import open_source, sources
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
    with pytest.raises(BadInput, match="LICENSE is a link that leaves") as raised:
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
        ("ftp://host/model", "use hf://, s3://, file:// or builtin://"),
    ],
)
def test_an_address_without_a_model_is_refused(uri: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        open_source.open_source(Leaf(uri=uri), store=STORE)
