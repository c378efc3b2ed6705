"""A finished artifact is skipped only while the store has it whole, made from what its inputs are now."""

import shutil
from pathlib import Path

from tests.stages.artifacts import damages
from tests.steps_support import artifact, context

from selfalign_stages.artifacts import hits, writing
from selfalign_stages.artifacts.file_store import FileStore
from selfalign_stages.contract.manifest import ArtifactRef, Manifest
from selfalign_stages.contract.rows import Draft

ROWS = [Draft(id=f"r-{n}", text=str(n), finish_reason="stop") for n in range(250)]


def chain(folder: Path) -> tuple[FileStore, ArtifactRef, Manifest]:
    """An artifact and one that was made from it."""
    source = artifact(folder, "prompts", ROWS)
    made = context(folder, "answers", inputs={"prompts": source})
    return FileStore(folder / "store"), source, writing.publish(made, files={"answer": b"42", "other": b"43"})


def test_a_whole_artifact_is_a_hit_and_names_the_content_of_its_inputs(tmp_path: Path) -> None:
    store, source, made = chain(tmp_path)
    examined = hits.examine(store, made.ref)
    assert (examined.manifest, examined.problem, examined.unusable) == (made, "", ())
    read = hits.examine(store, source).manifest
    assert read is not None and made.inputs["prompts"].digest == read.digest


def test_an_artifact_that_was_never_published_is_no_problem(tmp_path: Path) -> None:
    store, _, made = chain(tmp_path)
    assert hits.examine(store, made.ref.model_copy(update={"key": "f" * 64})) == hits.Examined()


def test_a_missing_file_is_found_without_reading_any_and_only_the_manifest_is_set_aside(tmp_path: Path) -> None:
    store, _, made = chain(tmp_path)
    (tmp_path / "store" / made.ref.prefix / "answer").unlink()
    examined = hits.examine(store, made.ref)
    assert (examined.manifest, examined.problem) == (None, f"{made.ref.prefix}/answer is missing")
    hits.set_aside(store, examined)
    assert [info.name for info in damages.everything(store) if info.name.startswith(made.ref.prefix)] == [
        f"{made.ref.prefix}/other"
    ]


def test_a_cut_file_is_set_aside_with_the_manifest(tmp_path: Path) -> None:
    store, _, made = chain(tmp_path)
    damages.apply(tmp_path / "store" / made.ref.prefix / "answer", "extend")
    examined = hits.examine(store, made.ref)
    assert examined.problem == f"{made.ref.prefix}/answer has 3 of 2 bytes"
    hits.set_aside(store, examined)
    assert len(damages.set_aside(tmp_path / "store")) == 2
    made_anew = writing.publish(
        context(tmp_path, "answers", inputs={"prompts": made.inputs["prompts"]}),
        files={"answer": b"42", "other": b"43"},
    )
    assert made_anew.digest == made.digest
    assert hits.examine(store, made.ref).manifest == made_anew


def test_an_artifact_made_from_other_bytes_than_its_input_has_now_is_no_hit(tmp_path: Path) -> None:
    store, source, made = chain(tmp_path)
    shutil.rmtree(tmp_path / "store" / source.prefix)
    artifact(tmp_path, "prompts", ROWS[:9])
    examined = hits.examine(store, made.ref)
    assert "was made from another prompts" in examined.problem
    # Its files too: a chunk made from the old input must not become part of the new artifact.
    assert len(examined.unusable) == 3


def test_an_input_that_somebody_deleted_does_not_invalidate_what_was_made_from_it(tmp_path: Path) -> None:
    store, source, made = chain(tmp_path)
    shutil.rmtree(tmp_path / "store" / source.prefix)
    assert hits.examine(store, made.ref).manifest == made


def test_a_damaged_manifest_is_no_hit(tmp_path: Path) -> None:
    store, _, made = chain(tmp_path)
    damages.apply(tmp_path / "store" / made.ref.prefix / "manifest.json", "flip")
    examined = hits.examine(store, made.ref)
    assert examined.manifest is None
    assert examined.unusable == (f"{made.ref.prefix}/manifest.json",)
