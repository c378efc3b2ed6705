"""Reads suites in their public file formats from pack://NAME, file:// and s3://."""

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


def content(uri: str, pack: Pack) -> dict[str, str]:
    """File names and texts of a suite: one file, or the parts of a BIG-bench folder."""
    scheme, _, rest = uri.partition("://")
    if scheme == "pack":
        found = {name: text for name, text in pack.suites.items() if name.split(".")[1] == rest}
        if not found:
            known = sorted(name.split(".")[1] for name in pack.suites)
            raise BadInput(
                f"suite {uri}: pack {pack.header.name} ships no such suite; it has {known}", reason="SuiteMissing"
            )
        return found
    if scheme != "file":
        raise BadInput(f"suite {uri}: use pack://NAME or file:///path", reason="SuiteMissing")
    path = Path(unquote(urlsplit(uri).path))
    if path.is_dir():
        return {f"{part}/task.json": _read(path / part / "task.json", uri) for part in HHH_PARTS}
    return {path.name: _read(path, uri)}


def digest(uri: str, pack: Pack) -> str:
    """Content digest of a suite."""
    joined = json.dumps(content(uri, pack), sort_keys=True).encode()
    return sha256_digest(joined)


def choices(texts: Mapping[str, str]) -> list[ChoiceItem]:
    """hhh: {"examples": [{"input", "target_scores": {answer: 1 or 0}, "category"?}]}; folder parts are categories."""
    found = []
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
            found.append(ChoiceItem(question=question, better=better[0], worse=worse[0], category=category))
    return found


def truths(texts: Mapping[str, str]) -> list[TruthfulItem]:
    """truthfulqa: mc_task.json, or the public CSV with its semicolon lists."""
    found = []
    for name, text in texts.items():
        found += _truths_csv(name, text) if name.endswith(".csv") else _truths_json(name, text)
    return found


def checks(texts: Mapping[str, str]) -> list[AdherenceItem]:
    """adherence: one JSON object a line."""
    found = []
    for name, text in texts.items():
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                check = AdherenceItem.model_validate_json(line)
                for pattern in (*check.require, *check.forbid):
                    re.compile(pattern)
            except (ValidationError, re.error) as error:
                raise _malformed(name, number, "line", " ".join(str(error).split())) from error
            found.append(check)
    return found


def questions(leaves: Mapping[str, Leaf], pack: Pack) -> list[str]:
    """The question texts of all suites among the leaves, for decontamination."""
    found: list[str] = []
    for name, leaf in leaves.items():
        if name.startswith(SUITE_PREFIX):
            found += _questions(content(leaf.uri, pack))
    return found


def _questions(texts: Mapping[str, str]) -> list[str]:
    """Questions by the shape of the file: JSON lines are checks, an object with examples is hhh, else TruthfulQA."""
    name, text = next(iter(texts.items()))
    if name.endswith(".jsonl"):
        return [check.prompt for check in checks(texts)]
    if name.endswith(".csv") or isinstance(_json(name, text), list):
        return [truth.question for truth in truths(texts)]
    return [choice.question for choice in choices(texts)]


def _truths_json(name: str, text: str) -> list[TruthfulItem]:
    rows = _json(name, text)
    if not isinstance(rows, list):
        raise _malformed(name, 0, "top", "needs a list of questions")
    found = []
    for number, row in enumerate(rows):
        mc1 = _field(row, "mc1_targets", f"{name} item {number}")
        if sum(mc1.values()) != 1 or len(mc1) < 2:
            raise _malformed(name, number, "mc1_targets", "needs one true and at least one false answer")
        question = _field(row, "question", f"{name} item {number}")
        found.append(TruthfulItem(question=question, mc1=mc1, mc2=row.get("mc2_targets", mc1)))
    return found


def _truths_csv(name: str, text: str) -> list[TruthfulItem]:
    found = []
    for number, row in enumerate(csv.DictReader(io.StringIO(text))):
        best = str(_field(row, "Best Answer", f"{name} row {number}")).strip()
        wrong = _split(_field(row, "Incorrect Answers", f"{name} row {number}"))
        right = _split(_field(row, "Correct Answers", f"{name} row {number}"))
        if not best or not wrong:
            raise _malformed(name, number, "Incorrect Answers", "needs a best answer and at least one incorrect one")
        mc2 = {best: 1} | {answer: 1 for answer in right} | {answer: 0 for answer in wrong}
        found.append(TruthfulItem(question=row["Question"], mc1={best: 1} | {answer: 0 for answer in wrong}, mc2=mc2))
    return found


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
    if not isinstance(row, dict) or field not in row:
        raise BadInput(f"suite {place}: has no field {field!r}", reason="SuiteMalformed")
    return row[field]


def _malformed(name: str, number: int, field: str, message: str) -> BadInput:
    return BadInput(f"suite {name} item {number}: {field}: {message}", reason="SuiteMalformed")
