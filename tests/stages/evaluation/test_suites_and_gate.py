"""Public file formats, and the report over variants."""

import json
import os
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
        ("suite.json", '{"examples": [{"input": "Q"}]}', "suite.json example 1: has no field 'target_scores'"),
        ("suite.json", '{"examples": [{"input": "Q", "target_scores": {"a": 1, "b": 1}}]}', "one scored 0"),
        ("suite.json", '{"examples": [{"input": "Q", "target_scores": {"": 1, "b": 0}}]}', "one scored 0"),
        ("suite.json", '{"examples": [{"input": 7, "target_scores": {"a": 1, "b": 0}}]}', "example 1: input: "),
        ("suite.json", '{"examples": [{"input": "Q", "target_scores": ["a"]}]}', "example 1: target_scores: "),
        ("suite.json", '{"examples": [{"input": "Q", "target_scores": {"a": "1"}}]}', "target_scores.a"),
        ("suite.json", '{"examples": [7]}', "suite.json example 1: Input should be"),
        ("suite.json", '{"examples": {}}', "has no field 'examples' with a list"),
        ("suite.json", '{"examples": []}', "has no items"),
        ("suite.json", "7", "has no field 'examples' with a list"),
        ("suite.json", "[]", "has no items"),
        ("suite.json", '[{"question": "Q", "mc1_targets": {"a": 0, "b": 0}}]', "item 1: mc1_targets: needs one true"),
        ("suite.json", '[{"question": "Q", "mc1_targets": {"a": 2, "b": -1}}]', "item 1: mc1_targets.a"),
        (
            "suite.json",
            '[{"question": "Q", "mc1_targets": {"a": 1, "b": 0}, "mc2_targets": {}}]',
            "item 1: mc2_targets",
        ),
        ("suite.json", '[{"question": null, "mc1_targets": {"a": 1, "b": 0}}]', "item 1: question"),
        ("suite.json", "{", "suite.json: line 1, column 2: not JSON"),
        ("suite.json", '{"a": NaN}', "suite.json: line 1, column 7: NaN"),
        ("suite.json", "[" * 10_000, "suite.json: line 1, column 101: nested"),
        ("suite.csv", "Question\nQ\n", "suite.csv line 2: has no field 'Best Answer'"),
        ("suite.csv", "", "suite.csv: has no items"),
        ("suite.csv", "Question,Best Answer,Correct Answers,Incorrect Answers\nQ,a\n", "line 2: Correct Answers"),
        ("suite.csv", "Question,Best Answer,Correct Answers,Incorrect Answers\nQ,a,b,c,d\n", "line 2: has more cells"),
        ("suite.csv", "Question,Best Answer,Correct Answers,Incorrect Answers\nQ,a,b,a\n", "line 2: Incorrect Answers"),
        ("suite.csv", 'Question,Best Answer,Correct Answers,Incorrect Answers\nQ,a,b,"c\n', "line 2: is not CSV"),
        ("suite.csv", f"Question,Best Answer\n{'x' * 200_000}\n", "line 2: is not CSV: field larger"),
        ("suite.jsonl", '\n{"id": "a", "prompt": "p", "principle": "x", "require": ["("]}', "line 2: the pattern '('"),
        (
            "suite.jsonl",
            '{"id": "a", "prompt": "p", "principle": "x", "require": ["a{9999999999}"]}',
            "line 1: the pattern",
        ),
        ("suite.jsonl", '{"id": "a", "prompt": "p", "principle": "x", "require": [1]}', "line 1: require.0"),
        ("suite.jsonl", '{"id": "a", "prompt": "p", "principle": "x", "extra": 1}', "line 1: extra"),
        ("suite.jsonl", '{"id": 1, "prompt": "p", "principle": "x"}', "line 1: id"),
        ("suite.jsonl", "\n7\n", "suite.jsonl line 2: Input should be"),
        ("suite.jsonl", "\n\n{\n", "suite.jsonl: line 3, column 2: not JSON"),
    ],
    ids=lambda value: value[:40],
)
def test_a_malformed_suite_is_refused_by_item_and_field(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    leaf = Leaf(uri=path.as_uri())
    with pytest.raises(BadInput) as caught:
        suites.held_out_questions({"suite:x": leaf}, PACK)
    assert message in str(caught.value) and caught.value.reason == "SuiteMalformed"


@pytest.mark.parametrize("pattern", ["(" * 5000 + ")" * 5000, f"a{{{'9' * 5000}}}"], ids=["depth", "repetition"])
def test_a_pattern_beyond_what_python_compiles_is_refused(pattern: str) -> None:
    item = {"id": "a", "prompt": "p", "principle": "x", "forbid": [pattern]}
    with pytest.raises(BadInput, match=r"suite\.jsonl line 1: the pattern"):
        suites.parse_adherence({"suite.jsonl": json.dumps(item)})


@pytest.mark.parametrize(
    "uri", ["file://[", "file:///nowhere", "file:///dev/zero", "file:///a%00", "s3://b/x", "x", "file:///tmp"]
)
def test_an_address_without_a_suite_is_refused(uri: str) -> None:
    with pytest.raises(BadInput) as caught:
        suites.read_texts(uri, PACK)
    assert caught.value.reason == "SuiteMissing"


def test_a_pipe_is_no_suite(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "suite.json")
    with pytest.raises(BadInput, match="is a pipe, device or socket"):
        suites.read_texts((tmp_path / "suite.json").as_uri(), PACK)


def test_byte_order_mark_and_line_separators_are_part_of_the_format_not_of_the_items(tmp_path: Path) -> None:
    item = {"id": "a", "prompt": "one\u2028two\u0085three", "principle": "x"}
    path = tmp_path / "suite.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(item, ensure_ascii=False).encode() + b"\r\n\r\n")
    assert suites.held_out_questions({"suite:x": Leaf(uri=path.as_uri())}, PACK) == [item["prompt"]]


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
