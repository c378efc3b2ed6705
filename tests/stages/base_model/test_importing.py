"""Step import copies the files that a model needs, keeps those of an earlier attempt, and verifies all of them."""

import json
import os
from pathlib import Path

import pytest
from tests.stages.base_model import contexts, folders

from selfalign_stages.artifacts import reading
from selfalign_stages.base_model import importing
from selfalign_stages.contract.exits import BadInput, Interrupted, Unavailable
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.task import Leaf
from selfalign_stages.step.context import StepContext


def leaf(tmp_path: Path, files: dict[str, bytes] | None = None) -> Leaf:
    """A base model in a folder, with the digest that preflight computed."""
    folder = folders.write(tmp_path / "model", folders.contents() if files is None else files)
    base = Leaf(uri=folder.as_uri())
    return base.model_copy(update={"digest": contexts.digest(base, tmp_path)})


def stored(tmp_path: Path, manifest: Manifest) -> dict[str, bytes]:
    """Contents of the artifact, read with verification."""
    store = contexts.context(Leaf(uri="builtin://none"), tmp_path).store
    return {entry.name: reading.read_bytes(store, manifest, entry.name) for entry in manifest.files}


@pytest.mark.parametrize("shards", [1, 3])
def test_an_import_has_the_models_files_and_their_origin(tmp_path: Path, shards: int) -> None:
    files = folders.contents(shards=shards)
    base = leaf(tmp_path, files | {"pytorch_model.bin": folders.CANARY, "extra/model.safetensors": b"x"})
    manifest = importing.run(contexts.context(base, tmp_path))
    contents = stored(tmp_path, manifest)
    source = json.loads(contents.pop("source.json"))
    assert contents == files
    assert source == {"uri": base.uri, "revision": None, "digest": base.digest, "license": "apache-2.0"}
    assert manifest.leaves == {"baseModel": base.digest}
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    base = leaf(tmp_path, folders.contents())
    os.mkfifo(tmp_path / "model" / "pytorch_model.bin")  # opening it for reading would block for ever
    importing.run(contexts.context(base, tmp_path))


@pytest.mark.parametrize("done", range(1, 7))
def test_a_stopped_import_resumes_with_the_missing_files(tmp_path: Path, done: int) -> None:
    base = leaf(tmp_path, folders.contents(shards=2))
    with pytest.raises(Interrupted):
        importing.run(contexts.context(base, tmp_path, stop=contexts.stop_after(done)))
    published = sorted((tmp_path / "store").rglob("*.*"))
    times = {path: path.stat().st_mtime_ns for path in published}
    assert len(published) == done
    resumed = importing.run(contexts.context(base, tmp_path))
    assert {path: path.stat().st_mtime_ns for path in published} == times
    other = tmp_path / "other"
    other.mkdir()
    assert resumed.digest == importing.run(contexts.context(base, other)).digest


def test_a_published_file_that_was_damaged_is_copied_again(tmp_path: Path) -> None:
    base = leaf(tmp_path)
    with pytest.raises(Interrupted):
        importing.run(contexts.context(base, tmp_path, stop=contexts.stop_after(1)))
    (published,) = (tmp_path / "store").rglob("config.json")
    published.write_bytes(b"{}")
    manifest = importing.run(contexts.context(base, tmp_path))
    assert stored(tmp_path, manifest)["config.json"] == folders.contents()["config.json"]


@pytest.mark.parametrize("damage", [b"", b"{}", folders.contents()["config.json"][:-1] + b" "])
def test_a_published_file_that_was_damaged_is_kept_for_inspection_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    base = leaf(tmp_path)
    with pytest.raises(Interrupted):
        importing.run(contexts.context(base, tmp_path, stop=contexts.stop_after(1)))
    (published,) = (tmp_path / "store").rglob("config.json")
    published.write_bytes(damage)
    importing.run(contexts.context(base, tmp_path))
    (aside,) = (tmp_path / "store" / "set-aside").rglob("config.json-*")
    assert aside.read_bytes() == damage
    assert "config.json: is not what was imported; moved to set-aside/" in caplog.text


def other_writer(context: StepContext, times: int) -> None:
    """Lets another process create the next objects just before this one does."""
    put_file, remaining = context.store.put_file, iter(range(times))

    def second(name: str, path: Path) -> bool:
        if next(remaining, None) is not None:
            context.store.put(name, b"of the other writer")
        return put_file(name, path)

    context.store.put_file = second  # type: ignore[method-assign]


def test_a_file_that_another_process_put_meanwhile_is_compared(tmp_path: Path) -> None:
    context = contexts.context(leaf(tmp_path), tmp_path)
    other_writer(context, 1)
    assert stored(tmp_path, importing.run(context))["config.json"] == folders.contents()["config.json"]


def test_two_processes_that_import_the_same_model_agree(tmp_path: Path) -> None:
    base = leaf(tmp_path)
    first, second = contexts.context(base, tmp_path), contexts.context(base, tmp_path)
    put_file = first.store.put_file

    def after_the_other(name: str, path: Path) -> bool:
        second.store.put_file(name, path)
        return put_file(name, path)

    first.store.put_file = after_the_other  # type: ignore[method-assign]
    assert importing.run(first).digest == importing.run(second).digest
    assert not (tmp_path / "store" / "set-aside").exists()


def test_a_store_to_which_another_writer_keeps_writing_is_reported(tmp_path: Path) -> None:
    context = contexts.context(leaf(tmp_path), tmp_path)
    other_writer(context, 100)
    with pytest.raises(Unavailable) as raised:
        importing.run(context)
    assert raised.value.reason == "StoreContended"


def test_a_model_that_changed_since_preflight_is_refused(tmp_path: Path) -> None:
    base = leaf(tmp_path)
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(folders.safetensors(folders.TENSORS, fill=7))
    with pytest.raises(BadInput, match="changed since preflight") as raised:
        importing.run(contexts.context(base, tmp_path))
    assert raised.value.reason == "LeafChanged"
    assert not list((tmp_path / "store").rglob("manifest.json"))


def test_a_licence_or_a_model_card_does_not_change_what_the_model_is(tmp_path: Path) -> None:
    base = leaf(tmp_path)
    (tmp_path / "model" / "README.md").write_text("another card")
    (tmp_path / "model" / "LICENSE").write_text("another licence")
    assert contexts.digest(base, tmp_path) == base.digest


COMPLETE = folders.safetensors(folders.TENSORS)
INCOMPLETE: dict[str, bytes] = {
    "truncated": COMPLETE[:-1],
    "padded": COMPLETE + b"\0",
    "only a header": COMPLETE[: 8 + int.from_bytes(COMPLETE[:8], "little")],
    "an endless header": b"\xff" * 8 + COMPLETE[8:],
    "empty": b"",
    "overlapping tensors": COMPLETE.replace(b'"data_offsets": [4224, 4240]', b'"data_offsets": [4223, 4239]'),
}


@pytest.mark.parametrize("weights", INCOMPLETE.values(), ids=INCOMPLETE.keys())
def test_incomplete_weights_are_reported_by_file_name(tmp_path: Path, weights: bytes) -> None:
    base = leaf(tmp_path, folders.contents() | {"model.safetensors": weights})
    with pytest.raises(BadInput, match=r"model\.safetensors: is not a complete safetensors file"):
        importing.run(contexts.context(base, tmp_path))


def test_a_git_lfs_pointer_in_place_of_weights_is_reported_with_its_remedy(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    base = leaf(tmp_path, folders.contents() | {"model.safetensors": pointer})
    with pytest.raises(BadInput, match=r"model\.safetensors: is a Git LFS pointer .* run git lfs pull"):
        importing.run(contexts.context(base, tmp_path))


def test_a_shard_that_lacks_a_tensor_of_the_index_is_reported_by_file_name(tmp_path: Path) -> None:
    files = folders.contents(shards=2)
    index = json.loads(files[folders.INDEX])
    index["weight_map"]["model.layers.0.weight"] = "model-00001-of-00002.safetensors"
    base = leaf(tmp_path, files | {folders.INDEX: json.dumps(index).encode()})
    with pytest.raises(BadInput, match=r"model-00001-of-00002\.safetensors: lacks tensor model\.layers\.0\.weight"):
        importing.run(contexts.context(base, tmp_path))


def test_all_problems_are_in_one_message(tmp_path: Path) -> None:
    files = {"config.json": b"{}", "pytorch_model.bin": folders.CANARY}
    base = Leaf(uri=folders.write(tmp_path / "model", files).as_uri())
    with pytest.raises(BadInput, match=r"pytorch_model\.bin: pickled.*tokenizer\.json: missing") as raised:
        importing.run(contexts.context(base, tmp_path))
    assert raised.value.reason == "BaseModelUnfit"
