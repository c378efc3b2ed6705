"""Public file formats, and the report over variants."""

import json
from pathlib import Path

import pytest

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.parameters import GateParameters
from selfalign_stages.contract.task import Leaf
from selfalign_stages.evaluation import gate, suites
from selfalign_stages.pack.loading import load

PACK = load("builtin://dromedary-16")


def test_the_bigbench_folder_gives_its_parts_as_categories(tmp_path: Path) -> None:
    for part in suites.HHH_PARTS:
        (tmp_path / part).mkdir()
        task = {"examples": [{"input": f"Q {part}", "target_scores": {"good": 1, "bad": 0}}]}
        (tmp_path / part / "task.json").write_text(json.dumps(task))
    items = suites.parse_hhh(suites.read_texts(tmp_path.as_uri(), PACK))
    assert [(item.category, item.better) for item in items] == [(part, "good") for part in suites.HHH_PARTS]


def test_the_truthfulqa_csv_is_read_with_its_semicolon_lists(tmp_path: Path) -> None:
    path = tmp_path / "TruthfulQA.csv"
    path.write_text(
        "Type,Question,Best Answer,Correct Answers,Incorrect Answers\n"
        'X,Is ice warm?,No,"No; It is cold","Yes; Sometimes, in May"\n'
    )
    (item,) = suites.parse_truthfulqa(suites.read_texts(path.as_uri(), PACK))
    assert item.mc1 == {"No": 1, "Yes": 0, "Sometimes, in May": 0}
    assert item.mc2 == {"No": 1, "It is cold": 1, "Yes": 0, "Sometimes, in May": 0}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("suite.json", '{"examples": [{"input": "Q"}]}', "no field 'target_scores'"),
        ("suite.json", '{"examples": [{"input": "Q", "target_scores": {"a": 1, "b": 1}}]}', "one scored 0"),
        ("suite.json", '[{"question": "Q", "mc1_targets": {"a": 0, "b": 0}}]', "one true"),
        ("suite.json", "{", "line"),
        ("suite.csv", "Question\nQ\n", "no field 'Best Answer'"),
        ("suite.jsonl", '{"id": "a", "prompt": "p", "principle": "x", "require": ["("]}', "item 1"),
    ],
)
def test_a_malformed_suite_is_refused_by_item_and_field(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    leaf = Leaf(uri=path.as_uri())
    with pytest.raises(BadInput, match=message):
        suites.held_out_questions({"suite:x": leaf}, PACK)


def test_the_suites_of_the_pack_are_readable_and_the_error_of_a_missing_one_lists_them() -> None:
    leaves = {f"suite:{name}": Leaf(uri=f"pack://{name}") for name in ("hhh", "truthfulqa", "adherence")}
    assert len(suites.held_out_questions(leaves, PACK)) == 64
    with pytest.raises(BadInput, match=r"no suite 'vicuna'; use one of \['adherence', 'hhh', 'truthfulqa'\]"):
        suites.read_texts("pack://vicuna", PACK)


def values(mean: float) -> gate.MetricValues:
    return {"adherence.overall": {str(n): float(n < mean * 20) for n in range(20)}}


SETTINGS = GateParameters(gates=("engraved.adherence.overall >= base.adherence.overall + 0.3",), bootstrap_samples=200)


@pytest.mark.parametrize(("engraved", "passed"), [(0.9, True), (0.4, False)])
def test_a_gate_that_fails_is_reported_not_raised(engraved: float, passed: bool) -> None:
    report = gate.build({"base": values(0.2), "engraved": values(engraved)}, SETTINGS, seed=1)
    headline = gate.headline(report)
    assert headline["passed"] is passed
    assert headline["failedGates"] == ("" if passed else SETTINGS.gates[0])
    assert headline["base.adherence.overall"] == 0.2
    assert float(headline["base.adherence.overall.low"]) < 0.2 < float(headline["base.adherence.overall.high"])
    assert ("FAILED" in gate.markdown(report)) is not passed
