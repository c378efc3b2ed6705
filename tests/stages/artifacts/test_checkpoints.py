"""Checkpoints: the newest complete one counts, a torn one never does."""

from pathlib import Path

import pytest
from tests.steps_support import context

from selfalign_stages.artifacts.checkpoints import Checkpoints
from selfalign_stages.contract.exits import BadInput


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


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 5)
    root = tmp_path / "store" / "cas" / "train" / ("0" * 64) / "checkpoints" / "step-5"
    next(root.glob("*-weights")).write_bytes(b"xx")
    with pytest.raises(BadInput, match="DigestMismatch|was changed"):
        checkpoints.latest(tmp_path / "out")


@pytest.mark.parametrize(("keep", "left"), [(1, [7]), (2, [6, 7]), (0, []), (9, [5, 6, 7])])
def test_pruning_keeps_the_newest(keep: int, left: list[int], tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 5, 6, 7)
    checkpoints.prune(keep=keep)
    assert checkpoints.steps() == left
