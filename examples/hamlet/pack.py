"""Writes the toy principle pack and its suites from the grammar of the training text; the seed is fixed.

PYTHONPATH=examples python -m hamlet.pack stages/selfalign_stages/builtin/packs/hamlet
"""

import json
import sys
from pathlib import Path
from random import Random
from typing import Any

import yaml

from hamlet import documents, items, kinds

SEED = 20230504
EXEMPLARS = (("naughty", "chore"), ("live",), ("sum", "unclear"), ("taste", "poem"), ("home",))
NAME = "{assistantName}"
LIMITS = ("ethical", "candor", "clarification")
"""Rules under which an answer declines, names what the helper cannot see, or asks back."""


def exemplars(r: Random) -> list[dict[str, Any]]:
    """Makes conversations that show every rule once, from short questions: exemplars take room in every prompt."""
    shown = []
    for group in EXEMPLARS:
        turns = []
        for kind in group:
            item = kinds.KINDS[kind](r)
            while len(item.question) > 50:
                item = kinds.KINDS[kind](r)
            turns.append({"user": item.question, "thought": item.thought, "rules": [item.rule], "answer": item.good})
        shown.append({"turns": turns})
    return shown


def adherence(r: Random, per_kind: int) -> list[dict[str, Any]]:
    """Makes the adherence suite: prompts with the patterns of a good answer, `per_kind` of every kind."""
    rows = []
    for kind in (*kinds.KINDS, "identity"):
        for number in range(per_kind if kind != "identity" else per_kind // 2):
            item = kinds.identity(r, NAME) if kind == "identity" else kinds.KINDS[kind](r)
            rows.append(
                {
                    "id": f"{kind}-{number}",
                    "prompt": item.question,
                    "principle": item.rule,
                    "require": list(item.require),
                    "forbid": list(item.forbid),
                    "refusal": item.refusal,
                }
            )
    return rows


HHH = {
    "naughty": "harmless",
    "chore": "helpful",
    "poem": "helpful",
    "live": "honest",
    "unclear": "honest",
    "colour": "honest",
    "home": "honest",
    "taste": "other",
    "sum": "other",
}


def hhh(r: Random, count: int) -> dict[str, Any]:
    """Makes pairs of a good and a careless answer in the file format of BIG-bench's hhh_alignment."""
    examples = []
    for number in range(count):
        kind = tuple(HHH)[number % len(HHH)]
        item = kinds.KINDS[kind](r)
        examples.append(
            {"input": item.question, "target_scores": {item.good: 1, item.careless: 0}, "category": HHH[kind]}
        )
    return {"name": "hamlet_hhh", "examples": examples}


def truthful(r: Random, count: int) -> list[dict[str, Any]]:
    """Makes facts with misconceptions in the format of TruthfulQA's multiple-choice file."""
    rows = []
    for number in range(count):
        item = kinds.KINDS[("colour", "home")[number % 2]](r)
        true = item.good.split(". ")[0] + "."
        mc1 = {true: 1} | {wrong: 0 for wrong in item.wrong}
        rows.append(
            {
                "question": item.question,
                "mc1_targets": mc1,
                "mc2_targets": {true: 1, item.good: 1} | {w: 0 for w in item.wrong},
            }
        )
    return rows


def main(folder: Path) -> None:
    """Writes all files of the pack. The order of the draws is part of the result: append, never insert."""
    folder.mkdir(parents=True, exist_ok=True)
    r = Random(SEED)
    files: dict[str, Any] = {
        "pack.yaml": {"name": "hamlet", "version": "1", "license": "Apache-2.0", "knowledgeCutoff": "last winter"},
        "principles.yaml": [
            {"number": n, "name": rule, "text": texts[0].replace("{name}", NAME)}
            | ({"limits": True} if rule in LIMITS else {})
            for n, (rule, texts) in enumerate(items.RULES.items(), 1)
        ],
        "exemplars.yaml": exemplars(r),
        "prompts.yaml": {
            "introduction": documents.INTRODUCTIONS[0],
            "examples": documents.EXAMPLES[0],
            "verbose": documents.VERBOSE[0],
            "verboseName": documents.VERBOSE_NAME,
            "selfInstruct": documents.SELF_INSTRUCT[0],
            "topics": documents.TOPICS[0],
            "questions": documents.QUESTIONS[0],
            "choice": documents.CHOICE[0],
        },
        "identity.yaml": [{"questions": list(kinds.WHO), "answer": kinds.identity(r, NAME).good}],
        "question-types.yaml": [
            dict(zip(("type", "topic", "question"), documents.about(r, kind), strict=True)) for kind in documents.TYPES
        ],
    }
    for name, value in files.items():
        (folder / name).write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110))
    seeds = [
        {"id": f"seed-{n}", "instruction": kinds.KINDS[tuple(kinds.KINDS)[n % len(kinds.KINDS)]](r).question}
        for n in range(36)
    ]
    (folder / "seed-tasks.jsonl").write_text("".join(json.dumps(seed) + "\n" for seed in seeds))
    (folder / "suite.hhh.json").write_text(json.dumps(hhh(r, 63), indent=1) + "\n")
    (folder / "suite.truthfulqa.json").write_text(json.dumps(truthful(r, 60), indent=1) + "\n")
    (folder / "suite.adherence.jsonl").write_text("".join(json.dumps(row) + "\n" for row in adherence(r, 12)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
