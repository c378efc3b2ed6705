"""Reads evaluation suites in their public file formats, from pack://NAME or file://PATH.

Suites are used as their authors publish them (BIG-bench task folders, TruthfulQA's CSV or JSON), so that nobody has
to convert them and scores stay comparable. A malformed item is an error, never skipped: a suite that lost items
unnoticed would give another score under the same name.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.graph import SUITE_PREFIX
from selfalign_stages.contract.model import sha256_digest
from selfalign_stages.contract.task import Leaf
from selfalign_stages.evaluation import limit_kinds, suite_rows
from selfalign_stages.evaluation.items import AdherenceItem, ChoiceItem, LimitsItem, TruthfulItem
from selfalign_stages.evaluation.suite_rows import malformed
from selfalign_stages.pack import files
from selfalign_stages.pack.model import Pack

Item = TypeVar("Item")
Written = TypeVar("Written", AdherenceItem, LimitsItem)
MISSING = "SuiteMissing"
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
                f"suite {uri}: pack {pack.header.name} has no suite {rest!r}; use one of {known}", reason=MISSING
            )
        return texts
    if scheme != "file":
        raise BadInput(f"suite {uri}: use pack://NAME or file:///PATH", reason=MISSING)
    try:
        path = files.local_path(uri)
        is_folder = path.is_dir()
    except (OSError, ValueError) as error:  # a name that is too long, a folder that may not be entered
        raise BadInput(f"suite {uri}: {getattr(error, 'strerror', None) or error}", reason=MISSING) from error
    names = {f"{part}/task.json": path / part / "task.json" for part in HHH_PARTS} if is_folder else {path.name: path}
    return {name: files.read_text(part, reason=MISSING) for name, part in names.items()}


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
        for number, value in enumerate(_examples(suite_rows.load(text, name), name), start=1):
            place = f"{name} example {number}"
            example = suite_rows.check(suite_rows.HhhExample, value, place)
            better = [answer for answer, score in example.target_scores.items() if score == 1]
            worse = [answer for answer, score in example.target_scores.items() if score == 0]
            if len(better) != 1 or len(worse) != 1 or "" in (*better, *worse):
                raise malformed(place, "target_scores: needs one answer scored 1 and one scored 0")
            category = part if example.category is None else example.category
            items.append(ChoiceItem(question=example.input, better=better[0], worse=worse[0], category=category))
    return _some(items, texts)


def parse_truthfulqa(texts: Mapping[str, str]) -> list[TruthfulItem]:
    """Parses TruthfulQA's mc_task.json, or its public CSV, whose answer columns are lists joined by semicolons.

    Raises:
        BadInput: a question lacks a field, a true answer or a false one.
    """
    items = []
    for name, text in texts.items():
        items += _truthfulqa_csv(name, text) if name.endswith(".csv") else _truthfulqa_json(name, text)
    return _some(items, texts)


def parse_adherence(texts: Mapping[str, str]) -> list[AdherenceItem]:
    """Parses JSON lines, one AdherenceItem each; blank lines are skipped.

    Raises:
        BadInput: a line is not a valid item, or one of its patterns not a valid regular expression.
    """
    items = _json_lines(AdherenceItem, texts)
    for place, item in items:
        for pattern in (*item.require, *item.forbid):
            suite_rows.check_pattern(pattern, place)
    return [item for _, item in items]


def parse_limits(texts: Mapping[str, str], *, language: str = "en") -> list[LimitsItem]:
    """Parses JSON lines, one LimitsItem each; blank lines are skipped.

    Args:
        texts: contents by file name.
        language: of the pack. Some kinds of limits have patterns in some languages (`limit_kinds.has_patterns`).

    Raises:
        BadInput: a line is not a valid item, an item has nothing to be checked by, a pattern of a plain item matches
            the prompt itself (an echo would count as right), or one of the two halves is missing.
    """
    items = _json_lines(LimitsItem, texts)
    for place, item in items:
        for pattern in item.accept:
            suite_rows.check_pattern(pattern, place)
            if item.expect == "help" and re.search(pattern, item.prompt, re.IGNORECASE):
                raise malformed(place, f"accept: {pattern!r} matches the prompt itself, so that an echo would be right")
        known = item.expect == "limit" and limit_kinds.has_patterns(item.kind, language=language)
        if not item.accept and not known:
            raise malformed(
                place,
                f"accept: needs a pattern: in language {language}, expect {item.expect}, kind {item.kind} has none",
            )
    if len({item.expect for _, item in items}) < 2:
        raise malformed(", ".join(texts), "needs items of both kinds, expect limit and expect help")
    return [item for _, item in items]


def held_out_questions(leaves: Mapping[str, Leaf], pack: Pack) -> list[str]:
    """Returns the question texts of all suites among a task's leaves, which training prompts must not resemble."""
    questions: list[str] = []
    for name, leaf in leaves.items():
        if name.startswith(SUITE_PREFIX):
            questions += _questions(read_texts(leaf.uri, pack))
    return questions


def _questions(texts: Mapping[str, str]) -> list[str]:
    """Returns questions by the shape of the file, because step prompts knows the suites' leaves, not their formats.

    JSON lines are items of format limits if they say what to expect, adherence items otherwise. CSV or a JSON list is
    TruthfulQA, a JSON object is hhh.
    """
    name, text = next(iter(texts.items()))
    if name.endswith(".jsonl"):
        # Within a JSON string the quotes would be escaped.
        if re.search(r'"expect"\s*:', text):
            return [item.prompt for _, item in _json_lines(LimitsItem, texts)]
        return [item.prompt for item in parse_adherence(texts)]
    if name.endswith(".csv") or isinstance(suite_rows.load(text, name), list):
        return [item.question for item in parse_truthfulqa(texts)]
    return [item.question for item in parse_hhh(texts)]


def _json_lines(model: type[Written], texts: Mapping[str, str]) -> list[tuple[str, Written]]:
    """Items with their places; blank lines are skipped.

    Raises:
        BadInput: a line is not a valid item, there is none, or an id occurs twice, and one score would hide the other.
    """
    items: dict[str, tuple[str, Written]] = {}
    for name, text in texts.items():
        # Not splitlines: texts may contain U+2028 and other ends of lines that JSON does not escape.
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            place = f"{name} line {number}"
            item = suite_rows.check(model, suite_rows.load(line, name, line=number), place)
            if item.id in items:
                raise malformed(place, f"id: {item.id!r} occurs before, in {items[item.id][0]}: make each unique")
            items[item.id] = (place, item)
    return _some(list(items.values()), texts)


def _truthfulqa_json(name: str, text: str) -> list[TruthfulItem]:
    rows = suite_rows.load(text, name)
    if not isinstance(rows, list):
        raise malformed(name, "needs a list of questions")
    items = []
    for number, value in enumerate(rows, start=1):
        place = f"{name} item {number}"
        row = suite_rows.check(suite_rows.TruthfulRow, value, place)
        if sum(row.mc1_targets.values()) != 1 or len(row.mc1_targets) < 2:
            raise malformed(place, "mc1_targets: needs one true and at least one false answer")
        mc2 = row.mc1_targets if row.mc2_targets is None else row.mc2_targets
        items.append(TruthfulItem(question=row.question, mc1=dict(row.mc1_targets), mc2=dict(mc2)))
    return items


def _truthfulqa_csv(name: str, text: str) -> list[TruthfulItem]:
    items = []
    for number, cells in suite_rows.csv_rows(text, name):
        place = f"{name} line {number}"
        row = suite_rows.check(suite_rows.TruthfulCsvRow, cells, place)
        best, true, false = row.best.strip(), _split(row.correct), _split(row.incorrect)
        if not best or not false:
            raise malformed(place, "Incorrect Answers: needs a best answer and at least one incorrect one")
        # MC1 of the CSV is the best answer against all incorrect ones; further correct answers count in MC2 only.
        mc1 = {answer: 0 for answer in false} | {best: 1}
        mc2 = {answer: 1 for answer in true} | {answer: 0 for answer in false} | {best: 1}
        if sum(mc1.values()) == len(mc1):
            raise malformed(place, "Incorrect Answers: the only one is the best answer")
        items.append(TruthfulItem(question=row.question, mc1=mc1, mc2=mc2))
    return items


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]


def _examples(task: Any, place: str) -> list[Any]:
    examples = task.get("examples") if isinstance(task, dict) else None
    if not isinstance(examples, list):
        raise malformed(place, "has no field 'examples' with a list")
    return examples


def _some(items: list[Item], texts: Mapping[str, str]) -> list[Item]:
    if not items:
        raise malformed(", ".join(texts), "has no items")
    return items
