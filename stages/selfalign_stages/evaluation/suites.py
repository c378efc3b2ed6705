"""Reads evaluation suites in their public file formats, from pack://NAME or file://PATH.

Suites are used as their authors publish them (BIG-bench task folders, TruthfulQA's CSV or JSON), so that nobody has
to convert them and scores stay comparable. A malformed item is an error, never skipped: a suite that lost items
unnoticed would give another score under the same name.
"""

import csv
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.graph import SUITE_PREFIX
from selfalign_stages.contract.model import sha256_digest
from selfalign_stages.contract.task import Leaf
from selfalign_stages.evaluation.items import AdherenceItem, ChoiceItem, TruthfulItem
from selfalign_stages.pack.model import Pack

Format = Literal["hhh", "truthfulqa", "adherence"]
HHH_PARTS = ("harmless", "helpful", "honest", "other")
"""Folders of BIG-bench hhh_alignment, each with a task.json; their names become the items' categories."""


def read_texts(uri: str, pack: Pack) -> dict[str, str]:
    """Reads the files of a suite.

    Args:
        uri: `pack://NAME` for a suite of the pack, or `file:///PATH` of a file or a BIG-bench folder.
        pack: the run's principle pack.

    Returns:
        Contents by file name: one file, or HARMLESS/task.json and so on for a folder.

    Raises:
        BadInput: there is no such suite, or it cannot be read (reason SuiteMissing).
    """
    scheme, _, rest = uri.partition("://")
    if scheme == "pack":
        # suite.NAME.json[l]: the middle part is the suite's name.
        texts = {name: text for name, text in pack.suites.items() if name.split(".")[1] == rest}
        if not texts:
            known = sorted(name.split(".")[1] for name in pack.suites)
            raise BadInput(
                f"suite {uri}: pack {pack.header.name} has no suite {rest!r}; use one of {known}", reason="SuiteMissing"
            )
        return texts
    if scheme != "file":
        raise BadInput(f"suite {uri}: use pack://NAME or file:///PATH", reason="SuiteMissing")
    path = Path(unquote(urlsplit(uri).path))
    if path.is_dir():
        return {f"{part}/task.json": _read(path / part / "task.json", uri) for part in HHH_PARTS}
    return {path.name: _read(path, uri)}


def digest(uri: str, pack: Pack) -> str:
    """Returns the SHA-256 digest of a suite's file names and contents, which enters the keys of score steps."""
    joined = json.dumps(read_texts(uri, pack), sort_keys=True).encode()
    return sha256_digest(joined)


def parse_hhh(texts: Mapping[str, str]) -> list[ChoiceItem]:
    """Parses BIG-bench tasks: {"examples": [{"input", "target_scores": {answer: 1 or 0}, "category"?}]}.

    Raises:
        BadInput: an example lacks a field, or does not have exactly one answer scored 1 and one scored 0.
    """
    items = []
    for name, text in texts.items():
        part = name.split("/")[0] if "/" in name else "other"
        for number, example in enumerate(_field(_json(name, text), "examples", name)):
            scores = _field(example, "target_scores", f"{name} example {number}")
            better = [answer for answer, score in scores.items() if score == 1]
            worse = [answer for answer, score in scores.items() if score == 0]
            if len(better) != 1 or len(worse) != 1:
                raise _malformed(name, number, "target_scores", "needs one answer scored 1 and one scored 0")
            question = _field(example, "input", f"{name} example {number}")
            category = example.get("category", part)
            items.append(ChoiceItem(question=question, better=better[0], worse=worse[0], category=category))
    return items


def parse_truthfulqa(texts: Mapping[str, str]) -> list[TruthfulItem]:
    """Parses TruthfulQA's mc_task.json, or its public CSV, whose answer columns are lists joined by semicolons.

    Raises:
        BadInput: a question lacks a field, a true answer or a false one.
    """
    items = []
    for name, text in texts.items():
        items += _truthfulqa_csv(name, text) if name.endswith(".csv") else _truthfulqa_json(name, text)
    return items


def parse_adherence(texts: Mapping[str, str]) -> list[AdherenceItem]:
    """Parses JSON lines, one AdherenceItem each; blank lines are skipped.

    Raises:
        BadInput: a line is not a valid item, or one of its patterns not a valid regular expression.
    """
    items = []
    for name, text in texts.items():
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                item = AdherenceItem.model_validate_json(line)
                for pattern in (*item.require, *item.forbid):
                    re.compile(pattern)
            except (ValidationError, re.error) as error:
                raise _malformed(name, number, "line", " ".join(str(error).split())) from error
            items.append(item)
    return items


def held_out_questions(leaves: Mapping[str, Leaf], pack: Pack) -> list[str]:
    """Returns the question texts of all suites among a task's leaves, which training prompts must not resemble."""
    questions: list[str] = []
    for name, leaf in leaves.items():
        if name.startswith(SUITE_PREFIX):
            questions += _questions(read_texts(leaf.uri, pack))
    return questions


def _questions(texts: Mapping[str, str]) -> list[str]:
    """Returns questions by the shape of the file, because step prompts knows the suites' leaves, not their formats.

    JSON lines are adherence items, CSV or a JSON list is TruthfulQA, a JSON object is hhh.
    """
    name, text = next(iter(texts.items()))
    if name.endswith(".jsonl"):
        return [item.prompt for item in parse_adherence(texts)]
    if name.endswith(".csv") or isinstance(_json(name, text), list):
        return [item.question for item in parse_truthfulqa(texts)]
    return [item.question for item in parse_hhh(texts)]


def _truthfulqa_json(name: str, text: str) -> list[TruthfulItem]:
    rows = _json(name, text)
    if not isinstance(rows, list):
        raise _malformed(name, 0, "top level", "needs a list of questions")
    items = []
    for number, row in enumerate(rows):
        mc1 = _field(row, "mc1_targets", f"{name} item {number}")
        if sum(mc1.values()) != 1 or len(mc1) < 2:
            raise _malformed(name, number, "mc1_targets", "needs one true and at least one false answer")
        question = _field(row, "question", f"{name} item {number}")
        items.append(TruthfulItem(question=question, mc1=mc1, mc2=row.get("mc2_targets", mc1)))
    return items


def _truthfulqa_csv(name: str, text: str) -> list[TruthfulItem]:
    items = []
    for number, row in enumerate(csv.DictReader(io.StringIO(text))):
        best = str(_field(row, "Best Answer", f"{name} row {number}")).strip()
        false = _split(_field(row, "Incorrect Answers", f"{name} row {number}"))
        true = _split(_field(row, "Correct Answers", f"{name} row {number}"))
        if not best or not false:
            raise _malformed(name, number, "Incorrect Answers", "needs a best answer and at least one incorrect one")
        # MC1 of the CSV is the best answer against all incorrect ones; further correct answers count in MC2 only.
        mc1 = {best: 1} | {answer: 0 for answer in false}
        mc2 = {best: 1} | {answer: 1 for answer in true} | {answer: 0 for answer in false}
        items.append(TruthfulItem(question=row["Question"], mc1=mc1, mc2=mc2))
    return items


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]


def _read(path: Path, uri: str) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"suite {uri}: cannot read {path.name}: {error}", reason="SuiteMissing") from error


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _malformed(name, error.lineno, "line", error.msg) from error


def _field(row: Any, field: str, place: str) -> Any:
    """Returns a field of a JSON object or CSV row; `place` names the item in the error."""
    if not isinstance(row, dict) or field not in row:
        raise BadInput(f"suite {place}: has no field {field!r}", reason="SuiteMalformed")
    return row[field]


def _malformed(name: str, number: int, field: str, message: str) -> BadInput:
    return BadInput(f"suite {name} item {number}: {field}: {message}", reason="SuiteMalformed")
