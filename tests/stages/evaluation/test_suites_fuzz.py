"""Whatever a suite's file contains, its parser gives items or a BadInput that names the file."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from tests.mutations import mutations
from tests.scale import scaled

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.printable import printable
from selfalign_stages.evaluation import suites, truthfulqa

Parser = Callable[[Mapping[str, str]], Sequence[Model]]
HHH: dict[str, Any] = {
    "examples": [{"input": "Q?", "target_scores": {"good": 1, "bad": 0}, "category": "kind"}],
    "name": "mine",
}
TRUTHFUL: list[dict[str, Any]] = [
    {"question": "Q?", "mc1_targets": {"yes": 1, "no": 0}, "mc2_targets": {"yes": 1, "si": 1, "no": 0}}
]
ADHERENCE: list[dict[str, Any]] = [
    {"id": "a", "prompt": "Say hello.", "principle": "polite", "require": ["(?i)\\bhello\\b", "[a-z]{2,9}"]},
    {"id": "b", "prompt": "Say more\u2028than that.", "principle": "polite", "forbid": ["no|never"], "refusal": True},
]
CSV = (
    "Type,Question,Best Answer,Correct Answers,Incorrect Answers,Source\n"
    'X,Is ice warm?,No,"No; It is cold","Yes; Sometimes, in May",https://example.org\n'
    'Y,"What is ""it""?",This,This; That,Nothing,\n'
)
CASES: dict[str, tuple[Parser, list[str]]] = {
    "suite.json": (suites.parse_hhh, [json.dumps(HHH), json.dumps(HHH, indent=1)]),
    "mc_task.json": (suites.parse_truthfulqa, [json.dumps(TRUTHFUL), json.dumps(TRUTHFUL, indent=1)]),
    "TruthfulQA.csv": (suites.parse_truthfulqa, [CSV, CSV.replace("\n", "\r\n")]),
    "suite.jsonl": (suites.parse_adherence, ["".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in ADHERENCE)]),
}


@pytest.mark.parametrize("name", CASES)
def test_any_file_is_a_suite_or_refused_by_name(name: str) -> None:
    parse, texts = CASES[name]
    accepted = 0
    for text in mutations(texts, scaled(150, 50_000), seed=len(name)):
        try:
            items = parse({name: text})
        except BadInput as error:
            assert name in str(error)
            continue
        accepted += 1
        assert items
        for item in items:
            json.dumps(item.to_dict()).encode()
    assert accepted


VALUES: list[Any] = [
    None,
    True,
    0,
    1,
    2,
    -1,
    1.0,
    0.5,
    "",
    "a",
    "1",
    [],
    ["a"],
    {},
    {"a": 1},
    {"a": "1"},
    [None],
    {"": 1},
]


@pytest.mark.parametrize("name", ["suite.json", "mc_task.json", "suite.jsonl"])
def test_a_field_of_any_type_is_accepted_or_named(name: str) -> None:
    parse, _ = CASES[name]
    row = {"suite.json": HHH["examples"][0], "mc_task.json": TRUTHFUL[0], "suite.jsonl": ADHERENCE[0]}[name]
    for field in row:
        for value in VALUES:
            changed = {**row, field: value}
            document = (
                {"examples": [changed]} if name == "suite.json" else changed if name == "suite.jsonl" else [changed]
            )
            try:
                items = parse({name: json.dumps(document)})
            except BadInput as error:
                assert field in str(error) and name in str(error) and printable(str(error)) == str(error)
                continue
            if name == "mc_task.json":  # what scoring needs
                assert all(truthfulqa.candidates(item) and item.mc2 for item in items)  # type: ignore[arg-type, attr-defined]
