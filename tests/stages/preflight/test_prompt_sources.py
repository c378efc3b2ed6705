"""Preflight reads prompts of one's own before a GPU is spent, and reports what is wrong with each file by its field."""

from pathlib import Path
from typing import Any

from tests.stages.preflight import asking

from selfalign_stages.contract import graph
from selfalign_stages.contract.task import PreflightResult
from selfalign_stages.preflight.check import check

FIELD = "spec.stages.redTeaming.promptSources"


def preflight(folder: Path, *files: str, prompts: int = 10) -> tuple[PreflightResult, dict[str, str]]:
    """The result for a run with these files beside its manifest, and its keys by step."""
    sources: list[dict[str, Any]] = [{"uri": f"file://{name}", "share": 0.2} for name in files]
    task = asking.task(folder, stages={"redTeaming": {"prompts": prompts, "promptSources": sources}})
    result = check(task)
    whole = result.leaves.keys() == task.leaves.keys()
    return result, graph.keys(task.steps, leaves=result.leaves, seed=task.seed) if whole else {}


def write(folder: Path, name: str, text: str = '{"prompt": "Name three birds"}\n{"prompt": "Count"}\n') -> str:
    (folder / name).write_text(text)
    return name


def test_a_changed_file_changes_the_key_of_step_prompts_and_of_what_follows_it(tmp_path: Path) -> None:
    name = write(tmp_path, "mine.jsonl")
    result, before = preflight(tmp_path, name)
    assert result.problems == () and result.leaves["promptSource:0"].startswith("sha256:")
    write(tmp_path, name, '{"prompt": "Name three birds"}\n{"prompt": "Count to two"}\n')
    _, after = preflight(tmp_path, name)
    changed = {id_ for id_ in before if before[id_] != after[id_]}
    assert {"redteaming-prompts", "selfalign-answers"} <= changed
    assert not {"import", "redteaming-topics", "redteaming-questions", "redteaming-instructions"} & changed
    assert not {"evaluation-score-base", "evaluation-score-prompted"} & changed


def test_an_address_changes_no_key(tmp_path: Path) -> None:
    _, before = preflight(tmp_path, write(tmp_path, "mine.jsonl"))
    _, after = preflight(tmp_path, write(tmp_path, "moved.jsonl"))
    assert before and before == after


def test_every_file_that_is_wrong_is_reported_by_its_field_and_line(tmp_path: Path) -> None:
    names = [
        write(tmp_path, "fine.jsonl"),
        "absent.jsonl",
        write(tmp_path, "empty.jsonl", ""),
        write(tmp_path, "columns.jsonl", '{"prompt": "a"}\n{"text": "b"}\n'),
    ]
    result, _ = preflight(tmp_path, *names)
    (absent,), (empty,), (columns,) = (asking.messages(result, f"{FIELD}[{number}].uri") for number in (1, 2, 3))
    assert "cannot be read: No such file or directory; correct the path" in absent
    assert "has no row: write one JSON object per line" in empty
    assert "line 2: has neither instruction nor prompt" in columns
    assert asking.fields(result.problems) == {f"{FIELD}[{number}].uri" for number in (1, 2, 3)}
    assert all(problem.line.startswith(problem.field) for problem in result.problems)


def test_a_file_with_fewer_rows_than_its_share_is_a_warning(tmp_path: Path) -> None:
    name = write(tmp_path, "mine.jsonl")
    assert [warning for warning in preflight(tmp_path, name)[0].warnings if FIELD in warning] == []
    warnings = preflight(tmp_path, name, prompts=100)[0].warnings
    assert f"{FIELD}[0].uri: has 2 rows for a share of 20 prompts; the run will have fewer prompts" in warnings
