"""Artifacts exist whole or not at all, and every read verifies their digests."""

import shutil
from pathlib import Path

import pytest
from tests.scale import scaled
from tests.stages.artifacts import damages
from tests.steps_support import artifact, context

from selfalign_stages.artifacts import checked, reading, writing
from selfalign_stages.artifacts.checked import Damaged
from selfalign_stages.artifacts.file_store import FileStore
from selfalign_stages.contract import sealed
from selfalign_stages.contract.exits import BadInput, InputLost, Unavailable
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
    assert reading.read_bytes(made.store, manifest, "weights.bin") == b"whole"
    folder = reading.download(made.store, manifest, tmp_path / "folder")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"weights.bin": b"whole"}


def test_rows_that_are_published_beside_damaged_ones_keep_their_order(tmp_path: Path) -> None:
    made = context(tmp_path, "prompts")
    made.store.put(f"{published(tmp_path / 'whole').ref.prefix}/part-00000.jsonl.zst", b"damaged")
    assert list(reading.rows(made.store, published(tmp_path), Prompt, kept=False)) == ROWS


def stored(folder: Path, manifest: Manifest, name: str) -> Path:
    return folder / "store" / manifest.ref.prefix / name


@pytest.mark.parametrize("damage", ["flip", "truncate", "extend", "empty"])
def test_a_damaged_part_is_named_set_aside_and_its_artifact_lost(damage: str, tmp_path: Path) -> None:
    manifest, store = published(tmp_path), context(tmp_path, "prompts").store
    victim = stored(tmp_path, manifest, "part-00001.jsonl.zst")
    damaged = damages.apply(victim, damage)
    with pytest.raises(InputLost, match=r"part-00001.*has sha256.*moved to set-aside/") as caught:
        list(reading.rows(store, manifest, Prompt))
    assert caught.value.key == manifest.key
    assert not victim.exists()
    assert [path.read_bytes() for path in damages.set_aside(tmp_path / "store")] == [damaged]


def test_a_part_that_is_missing_is_an_input_to_make_anew(tmp_path: Path) -> None:
    manifest, store = published(tmp_path), context(tmp_path, "prompts").store
    stored(tmp_path, manifest, "part-00002.jsonl.zst").unlink()
    with pytest.raises(InputLost, match=r"part-00002.*is missing"):
        list(reading.rows(store, manifest, Prompt))


def test_no_bit_of_a_manifest_can_change_without_its_notice(tmp_path: Path) -> None:
    manifest, store = published(tmp_path), context(tmp_path, "prompts").store
    path = stored(tmp_path, manifest, "manifest.json")
    good = path.read_bytes()
    positions = range(0, len(good) * 8, scaled(97, 1))
    for bit in positions:
        path.write_bytes(damages.flipped(good, bit))
        with pytest.raises(Damaged, match=r"manifest\.json"):
            reading.read_manifest(store, manifest.ref)
    path.write_bytes(good)
    assert reading.read_manifest(store, manifest.ref) == manifest


def test_a_manifest_of_another_artifact_does_not_pass_for_this_one(tmp_path: Path) -> None:
    mine, other = published(tmp_path), artifact(tmp_path, "prompts", ROWS[:3], key="2" * 64)
    shutil.copy(tmp_path / "store" / other.prefix / "manifest.json", stored(tmp_path, mine, "manifest.json"))
    with pytest.raises(InputLost, match=f"belongs to {other.prefix}"):
        reading.require_manifest(context(tmp_path, "prompts").store, mine.ref)


def test_a_transfer_that_was_wrong_once_is_read_again(tmp_path: Path) -> None:
    manifest = published(tmp_path)
    store = damages.Unreliable(FileStore(tmp_path / "store"), wrong_reads=2)
    assert list(reading.rows(store, manifest, Prompt, kept=False)) == ROWS
    assert damages.set_aside(tmp_path / "store") == []


def test_a_transfer_that_is_wrong_in_a_new_way_each_time_says_nothing_about_the_object(tmp_path: Path) -> None:
    manifest = published(tmp_path)
    store = damages.Unreliable(FileStore(tmp_path / "store"), wrong_reads=99)
    with pytest.raises(Unavailable, match="other bytes at each of 3 reads"):
        list(reading.rows(store, manifest, Prompt))
    assert damages.set_aside(tmp_path / "store") == []


def test_a_download_keeps_files_that_are_right_and_replaces_others(tmp_path: Path) -> None:
    manifest, store = published(tmp_path), context(tmp_path, "prompts").store
    folder = reading.download(store, manifest, tmp_path / "copy")
    kept = folder / "part-00000.jsonl.zst"
    before = kept.stat().st_mtime_ns
    (folder / "part-00001.jsonl.zst").write_bytes(b"damaged")
    reading.download(store, manifest, folder)
    assert kept.stat().st_mtime_ns == before
    assert checked.hash_file(folder / "part-00001.jsonl.zst")[1] == manifest.files[1].sha256


def test_a_manifest_cannot_write_outside_the_folder(tmp_path: Path) -> None:
    manifest = published(tmp_path)
    evil = manifest.model_copy(update={"files": (manifest.files[0].model_copy(update={"name": "../../outside"}),)})
    with pytest.raises(BadInput, match="not the path of a file below a folder"):
        reading.download(context(tmp_path, "prompts").store, evil, tmp_path / "copy")


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a//b", "", ".", "a\\b", "a\nb", "x/"])
def test_a_manifest_with_a_name_that_leads_elsewhere_is_damaged(name: str, tmp_path: Path) -> None:
    manifest, store = published(tmp_path), context(tmp_path, "prompts").store
    document = manifest.to_dict()
    document["files"][0]["name"] = name
    stored(tmp_path, manifest, "manifest.json").write_bytes(sealed.seal(document))
    with pytest.raises(Damaged, match="not the path of a file below a folder"):
        reading.read_manifest(store, manifest.ref)


def test_a_link_in_the_target_folder_leads_nothing_out_of_it(tmp_path: Path) -> None:
    manifest, folder = published(tmp_path), tmp_path / "copy"
    folder.mkdir()
    (folder / manifest.files[0].name).symlink_to(tmp_path / "outside")
    with pytest.raises(BadInput, match="is a link that leaves"):
        reading.download(context(tmp_path, "prompts").store, manifest, folder)
    assert not (tmp_path / "outside").exists()


def test_the_message_for_a_missing_input_names_the_remedy(tmp_path: Path) -> None:
    ref = artifact(tmp_path, "prompts", ROWS).model_copy(update={"key": "f" * 64})
    with pytest.raises(InputLost, match="the step that makes it runs again"):
        reading.require_manifest(context(tmp_path, "prompts").store, ref)
