"""Every byte of a store, a run or a layout is read again; what is damaged is named with the step that makes it."""

import json
from pathlib import Path

import pytest
from tests.scale import scaled
from tests.stages.artifacts import damages
from tests.stages.preflight import asking
from tests.steps_support import artifact, context

from selfalign_stages.artifacts import writing
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.rows import Draft
from selfalign_stages.preflight.check import check
from selfalign_stages.verification import __main__ as command
from selfalign_stages.verification.artifacts import verify_folder, verify_run

ROWS = [Draft(id=f"r-{n}", text=str(n), finish_reason="stop") for n in range(250)]


def store(folder: Path) -> Path:
    """A store with two artifacts, one made from the other."""
    source = artifact(folder, "prompts", ROWS)
    made = context(folder, "answers", inputs={"prompts": source})
    writing.publish(made, files=writing.row_parts(ROWS, size=50))
    return folder / "store"


def verify(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["verify", *map(str, arguments)])
    return command.main()


def test_a_whole_store_has_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(monkeypatch, store(tmp_path)) == 0
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith("cas/answers/") and "whole, 5 files" in first
    assert second.startswith("cas/prompts/") and "whole, 3 files" in second
    assert last == "no damage found"


def test_a_flipped_bit_of_any_file_is_found_and_attributed_to_that_file(tmp_path: Path) -> None:
    root = store(tmp_path)
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        good = path.read_bytes()
        for bit in range(0, len(good) * 8, scaled(len(good) * 8 // 3, 61)):
            path.write_bytes(damages.flipped(good, bit))
            problems = [problem for _, verdict in verify_folder(root) for problem in verdict.problems]
            assert problems and problems[0].startswith(path.relative_to(root).as_posix())
        path.write_bytes(good)
    assert not [problem for _, verdict in verify_folder(tmp_path) for problem in verdict.problems]


def test_the_remedy_sets_damage_aside_and_leaves_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = store(tmp_path)
    victim = next(root.glob("cas/answers/*/part-00003*"))
    damaged = damages.apply(victim, "flip")
    assert verify(monkeypatch, root) == 1
    out = capsys.readouterr().out
    assert f"{victim.relative_to(root)}: has sha256" in out
    assert "repeat this with --set-aside, then run again, to make cas/answers/" in out
    assert victim.exists()
    assert verify(monkeypatch, root, "--set-aside") == 1
    assert "set aside: the next run makes anew what cas/answers/" in capsys.readouterr().out
    assert [path.read_bytes() for path in damages.set_aside(root)] == [damaged]
    assert verify(monkeypatch, root) == 1, "the artifact is incomplete until a run has made it anew"
    assert "is missing" in capsys.readouterr().out


def test_a_run_is_verified_step_by_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = asking.task(tmp_path)
    asking.publish(task, check(task), "redteaming-topics")
    (tmp_path / "task.json").write_text(task.model_dump_json(by_alias=True))
    assert verify(monkeypatch, "--task", tmp_path / "task.json", "-o", "json") == 0
    verdicts = {verdict["name"]: verdict for verdict in json.loads(capsys.readouterr().out)}
    assert list(verdicts) == [step.id for step in task.steps]
    assert [name for name, verdict in verdicts.items() if not verdict["missing"]] == ["redteaming-topics"]
    damages.apply(next((tmp_path / "store").rglob("manifest.json")), "flip")
    assert verify(monkeypatch, "--task", tmp_path / "task.json") == 1
    out = capsys.readouterr().out
    assert "redteaming-topics: DAMAGED" in out
    assert "to make redteaming-topics anew" in out


def test_a_run_whose_inputs_cannot_be_read_says_which(tmp_path: Path) -> None:
    task = asking.task(tmp_path)
    (tmp_path / "model" / "tokenizer.json").unlink()
    with pytest.raises(BadInput, match=r"(?s)cannot be named without its inputs.*tokenizer\.json: missing"):
        list(verify_run(task))


def test_a_folder_without_artifacts_is_refused_with_what_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(monkeypatch, tmp_path) == 42
    assert "give one of these, a run manifest, or an image reference" in capsys.readouterr().err
