"""Checkpoints: the newest complete one counts, a torn one never does."""

import shutil
from pathlib import Path

import pytest
from tests.stages.artifacts import damages
from tests.steps_support import artifact, context

from selfalign_stages.artifacts.checkpoints import Checkpoints
from selfalign_stages.contract import sealed
from selfalign_stages.contract.rows import Draft


def saved(folder: Path, *steps: int) -> Checkpoints:
    checkpoints = Checkpoints(context(folder, "train"))
    for step in steps:
        source = folder / f"local-{step}"
        (source / "deep").mkdir(parents=True)
        (source / "weights").write_bytes(b"w%d" % step)
        (source / "deep" / "state").write_bytes(b"s%d" % step)
        checkpoints.save(step, source)
    return checkpoints


def test_there_is_none_at_first(tmp_path: Path) -> None:
    assert saved(tmp_path).latest(tmp_path / "out") is None


def test_the_newest_comes_back_whole(tmp_path: Path) -> None:
    latest = saved(tmp_path, 9, 10).latest(tmp_path / "out")
    assert latest is not None
    step, folder = latest
    assert step == 10
    assert (folder / "weights").read_bytes() == b"w10"
    assert (folder / "deep" / "state").read_bytes() == b"s10"


def test_a_checkpoint_without_its_list_does_not_count(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 5, 6)
    (tmp_path / "store" / "cas" / "train" / ("0" * 64) / "checkpoints" / "step-6" / "complete.json").unlink()
    assert checkpoints.steps() == [5]


def folder_of(root: Path, step: int) -> Path:
    return root / "store" / "cas" / "train" / ("0" * 64) / "checkpoints" / f"step-{step}"


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
@pytest.mark.parametrize("file", ["weights", "state", "complete.json"])
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_resumes(file: str, damage: str, tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 5, 6)
    (victim,) = folder_of(tmp_path, 6).glob(f"*{file}")
    damaged = damages.apply(victim, damage)
    latest = checkpoints.latest(tmp_path / "out")
    assert latest is not None and latest[0] == 5
    assert (latest[1] / "weights").read_bytes() == b"w5"
    assert damaged in [path.read_bytes() for path in damages.set_aside(tmp_path / "store")]
    assert checkpoints.steps() == [5]


def test_a_step_whose_only_checkpoint_is_damaged_starts_over(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 5)
    damages.apply(next(folder_of(tmp_path, 5).glob("*-weights")), "flip")
    assert checkpoints.latest(tmp_path / "out") is None
    assert saved(tmp_path / "fresh", 5).latest(tmp_path / "fresh" / "out") is not None


@pytest.mark.parametrize("path", ["../../outside", "/tmp/outside", "deep/../../outside"])
def test_a_checkpoint_cannot_write_outside_its_folder(path: str, tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 5, 6)
    complete = folder_of(tmp_path, 6) / "complete.json"
    document = sealed.unseal(complete.read_bytes())
    document["files"][0]["path"] = path
    complete.write_bytes(sealed.seal(document))
    latest = checkpoints.latest(tmp_path / "out")
    assert latest is not None and latest[0] == 5
    assert not list(tmp_path.rglob("outside"))


def test_a_checkpoint_of_a_training_on_other_rows_is_not_resumed(tmp_path: Path) -> None:
    rows = artifact(tmp_path, "answers", [])
    made = context(tmp_path, "train", inputs={"answers": rows})
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "weights").write_bytes(b"w")
    Checkpoints(made).save(3, tmp_path / "local")
    assert Checkpoints(made).latest(tmp_path / "out") is not None
    # The input is made anew, with other rows under the same key.
    shutil.rmtree(tmp_path / "store" / rows.prefix)
    draft = Draft(id="r", text="other", finish_reason="stop")
    assert artifact(tmp_path, "answers", [draft]) == rows
    assert Checkpoints(made).latest(tmp_path / "out") is None


@pytest.mark.parametrize(("keep", "left"), [(1, [7]), (2, [6, 7]), (0, []), (9, [5, 6, 7])])
def test_pruning_keeps_the_newest(keep: int, left: list[int], tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 5, 6, 7)
    checkpoints.prune(keep=keep)
    assert checkpoints.steps() == left
