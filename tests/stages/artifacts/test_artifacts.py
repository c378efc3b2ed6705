"""Artifacts exist whole or not at all, and every read verifies their digests."""

from pathlib import Path

import pytest
from tests.steps_support import artifact, context

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.rows import Prompt

ROWS = [
    Prompt(id=f"p-{n}", instruction=f"Ask {n}", source="self-instruct", reject="duplicate" if n % 3 == 0 else None)
    for n in range(250)
]


def published(folder: Path) -> Manifest:
    made = context(folder, "prompts")
    return writing.publish(made, files=writing.row_parts(ROWS, size=100), counts=writing.count(ROWS))


def test_rows_read_back_in_order_and_rejected_ones_only_on_request(tmp_path: Path) -> None:
    manifest, store = published(tmp_path), context(tmp_path, "prompts").store
    assert list(reading.rows(store, manifest, Prompt, kept=False)) == ROWS
    assert [row.id for row in reading.rows(store, manifest, Prompt)] == [r.id for r in ROWS if r.reject is None]


def test_counts_contain_every_record_once(tmp_path: Path) -> None:
    counts = published(tmp_path).counts
    assert (counts.rows, counts.kept, counts.rejected) == (250, 166, {"duplicate": 84})


def test_equal_rows_make_equal_artifact_digests(tmp_path: Path) -> None:
    assert published(tmp_path / "a").digest == published(tmp_path / "b").digest


def test_a_second_publisher_gets_the_manifest_of_the_first(tmp_path: Path) -> None:
    first = published(tmp_path)
    second = writing.publish(context(tmp_path, "prompts"), files={"other": b"x"})
    assert second == first


def test_bytes_left_by_a_dead_attempt_do_not_wedge_the_next(tmp_path: Path) -> None:
    made = context(tmp_path, "train")
    made.store.put(f"cas/train/{'0' * 64}/weights.bin", b"half a file of an attempt that died")
    manifest = writing.publish(made, files={"weights.bin": b"whole"})
    assert reading.read_bytes(made.store, manifest, manifest.files[0].name) == b"whole"


@pytest.mark.parametrize("damage", ["flip", "truncate"])
def test_a_changed_object_is_refused_by_name(damage: str, tmp_path: Path) -> None:
    manifest, store = published(tmp_path), context(tmp_path, "prompts").store
    victim = tmp_path / "store" / manifest.ref.prefix / "part-00001.jsonl.zst"
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data if damage == "flip" else data[:-5])
    with pytest.raises(BadInput, match=r"part-00001.*delete the artifact's folder") as caught:
        list(reading.rows(store, manifest, Prompt))
    assert caught.value.reason == "DigestMismatch"


def test_a_download_keeps_files_that_are_right_and_replaces_others(tmp_path: Path) -> None:
    manifest, store = published(tmp_path), context(tmp_path, "prompts").store
    folder = reading.download(store, manifest, tmp_path / "copy")
    kept = folder / "part-00000.jsonl.zst"
    before = kept.stat().st_mtime_ns
    (folder / "part-00001.jsonl.zst").write_bytes(b"damaged")
    reading.download(store, manifest, folder)
    assert kept.stat().st_mtime_ns == before
    assert reading.hash_file(folder / "part-00001.jsonl.zst")[1] == manifest.files[1].sha256


def test_a_manifest_cannot_write_outside_the_folder(tmp_path: Path) -> None:
    manifest = published(tmp_path)
    evil = manifest.model_copy(update={"files": (manifest.files[0].model_copy(update={"name": "../../outside"}),)})
    with pytest.raises(BadInput, match="leaves its folder"):
        reading.download(context(tmp_path, "prompts").store, evil, tmp_path / "copy")


def test_the_message_for_a_missing_input_names_the_remedy(tmp_path: Path) -> None:
    ref = artifact(tmp_path, "prompts", ROWS).model_copy(update={"key": "f" * 64})
    with pytest.raises(BadInput, match="run again"):
        reading.require_manifest(context(tmp_path, "prompts").store, ref)
