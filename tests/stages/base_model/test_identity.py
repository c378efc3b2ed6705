"""An import artifact counts as a base model's only if its files prove it."""

import json
from pathlib import Path

import pytest
from tests.stages.base_model import contexts, folders

from selfalign_stages import steps
from selfalign_stages.artifacts import writing
from selfalign_stages.base_model import identity, importing
from selfalign_stages.base_model.sources import SourceFile, fingerprint
from selfalign_stages.contract.manifest import FileEntry, Manifest
from selfalign_stages.contract.task import Leaf
from selfalign_stages.step.context import StepContext


@pytest.fixture
def leaf(tmp_path: Path) -> Leaf:
    base = Leaf(uri=folders.write(tmp_path / "model", folders.contents(shards=2)).as_uri())
    return base.model_copy(update={"digest": contexts.digest(base, tmp_path)})


@pytest.fixture
def context(leaf: Leaf, tmp_path: Path) -> StepContext:
    return contexts.context(leaf, tmp_path)


def is_that_of(context: StepContext, manifest: Manifest, digest: str | None) -> bool:
    return identity.matches(context.store, manifest, str(digest))


def with_files(manifest: Manifest, *files: FileEntry, without: str = "") -> Manifest:
    kept = [entry for entry in manifest.files if entry.name not in (without, *(file.name for file in files))]
    return manifest.model_copy(update={"files": (*kept, *files)})


def test_an_import_is_that_of_its_own_base_model_alone(leaf: Leaf, context: StepContext, tmp_path: Path) -> None:
    manifest = importing.run(context)
    assert identity.stored_fingerprint(manifest) == leaf.digest
    assert is_that_of(context, manifest, leaf.digest)
    changed = folders.contents(shards=2) | {"config.json": json.dumps(folders.CONFIG | {"eos_token_id": 1}).encode()}
    other = Leaf(uri=folders.write(tmp_path / "other", changed).as_uri())
    assert not is_that_of(context, manifest, contexts.digest(other, tmp_path))


PLANTED = FileEntry(name="model-00001-of-00002.safetensors", size=1, sha256="0" * 64)


def test_exchanged_added_and_missing_files_are_found(leaf: Leaf, context: StepContext) -> None:
    manifest = importing.run(context)
    for other in (
        with_files(manifest, PLANTED),
        with_files(manifest, FileEntry(name="modeling.py", size=1, sha256="0" * 64)),
        with_files(manifest, FileEntry(name="pytorch_model.bin", size=1, sha256="0" * 64)),
        with_files(manifest, FileEntry(name="NOTICE.safetensors", size=1, sha256="0" * 64)),
        with_files(manifest, without="tokenizer.json"),
        manifest.model_copy(update={"files": ()}),
    ):
        assert not is_that_of(context, other, leaf.digest)


def test_documents_are_no_part_of_what_is_compared(leaf: Leaf, context: StepContext) -> None:
    manifest = importing.run(context)
    assert is_that_of(context, with_files(manifest, FileEntry(name="LICENSE", size=1, sha256="0" * 64)), leaf.digest)


def test_a_step_runs_again_where_its_key_has_other_weights(leaf: Leaf, context: StepContext, tmp_path: Path) -> None:
    ref = importing.run(context).ref
    leaves = {"baseModel": str(leaf.digest)}
    assert steps.examine(context.store, ref, leaves=leaves).manifest is not None
    other = Leaf(uri=folders.write(tmp_path / "other", folders.contents(shards=1)).as_uri())
    (tmp_path / "second").mkdir()
    elsewhere = contexts.context(other, tmp_path / "second")
    importing.run(elsewhere)  # under the same key
    for path in (tmp_path / "second" / "store" / ref.prefix).iterdir():
        folders.write(tmp_path / "store" / ref.prefix, {path.name: path.read_bytes()})
    examined = steps.examine(context.store, ref, leaves=leaves)
    assert examined.manifest is None
    assert "are not those of the base model" in examined.problem


FILES = [SourceFile("config.json", 2, "some-etag"), SourceFile("model.safetensors", 1, "another-2")]
DIGEST = fingerprint(FILES)
ETAGS = {"config.json": "some-etag", "model.safetensors": "another-2"}


def published(context: StepContext, origin: bytes) -> Manifest:
    """An artifact whose content ids were ETags, with this source.json."""
    return writing.publish(
        context, files={"config.json": b"{}", "model.safetensors": b"x", "LICENSE": b"x", "source.json": origin}
    )


def test_etags_are_compared_as_the_import_recorded_them(context: StepContext) -> None:
    manifest = published(context, json.dumps({"etags": ETAGS}).encode())
    assert is_that_of(context, manifest, DIGEST)
    assert not is_that_of(context, with_files(manifest, without="config.json"), DIGEST)
    (context.scratch.parent / "store" / manifest.ref.prefix / "source.json").write_bytes(b"{}")
    assert not is_that_of(context, manifest, DIGEST)
    (context.scratch.parent / "store" / manifest.ref.prefix / "source.json").unlink()
    assert not is_that_of(context, manifest, DIGEST)


@pytest.mark.parametrize(
    "origin",
    [
        b"", b"[]", b"{}", b'{"etags": []}', b'{"etags": {"config.json": 1}}', b"[" * 10_000, b"\xff",
        json.dumps({"etags": ETAGS | {"config.json": "other"}}).encode(),
        json.dumps({"etags": {"config.json": "some-etag"}}).encode(),
    ],
)  # fmt: skip
def test_an_origin_without_these_etags_proves_nothing(context: StepContext, origin: bytes) -> None:
    assert not is_that_of(context, published(context, origin), DIGEST)
