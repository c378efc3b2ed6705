"""Preflight reads training rows of one's own before a GPU is spent, and reports what is wrong by field."""

from pathlib import Path
from typing import Any

from tests.stages.preflight import asking

from selfalign_stages.preflight.check import check

ENGRAVING, CLONING = "spec.stages.engraving.extraRows", "spec.stages.cloning.training.extraRows"
ROW = '{"prompt": "Name three birds", "answer": "Robin, wren, owl."}\n'


def files(folder: Path, **texts: str) -> list[dict[str, Any]]:
    for name, text in texts.items():
        (folder / f"{name}.jsonl").write_text(text)
    return [{"uri": f"file://{name}.jsonl", "share": 0.2} for name in texts]


def test_files_of_both_trainings_are_read_and_have_the_digest_of_their_text(tmp_path: Path) -> None:
    (one, two), (three,) = files(tmp_path, one=ROW, two=ROW), files(tmp_path, three=ROW + ROW)
    stages = {"engraving": {"extraRows": [one]}, "cloning": {"training": {"extraRows": [two, three]}}}
    task = asking.task(tmp_path, stages=stages)
    result = check(task)
    assert result.problems == () and result.leaves.keys() == task.leaves.keys()
    names = ("extraRows:engraving:0", "extraRows:cloning:0", "extraRows:cloning:1")
    first, second, third = (result.leaves[name] for name in names)
    assert first == second != third


def test_every_file_that_is_wrong_is_reported_by_its_field_and_line(tmp_path: Path) -> None:
    listed = files(tmp_path, fine=ROW, columns=ROW + '{"prompt": "Why?", "output": "So."}\n')
    absent = {"uri": "file://absent.jsonl", "share": 0.1}
    stages = {"engraving": {"extraRows": listed}, "cloning": {"training": {"extraRows": [absent]}}}
    result = check(asking.task(tmp_path, stages=stages))
    (columns,) = asking.messages(result, f"{ENGRAVING}[1].uri")
    (missing,) = asking.messages(result, f"{CLONING}[0].uri")
    assert "line 2: has neither answer nor response" in columns
    assert "cannot be read: No such file or directory; correct the path" in missing
    assert asking.fields(result.problems) == {f"{ENGRAVING}[1].uri", f"{CLONING}[0].uri"}
