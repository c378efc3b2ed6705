"""Step prompts on a file store: verdicts on the rows of both sources, and nothing kept as a failure."""

import re
from pathlib import Path

import pytest
from tests.stages.redteaming.step_builders import PACK, published_rows
from tests.steps_support import artifact, context

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import PromptsParameters
from selfalign_stages.contract.rows import Prompt
from selfalign_stages.redteaming import prompts


def prompt_rows(source: str, *texts: str) -> list[Prompt]:
    return [
        Prompt.model_validate({"id": f"{source}-{n}", "instruction": text, "source": source})
        for n, text in enumerate(texts)
    ]


def merge_prompts(
    folder: Path, from_questions: list[Prompt], from_instructions: list[Prompt]
) -> tuple[Manifest, list[Prompt]]:
    settings = PromptsParameters(prompts=3, dedup_rouge_l=0.7, decontaminate=True)
    inputs = {
        "questions": artifact(folder, "questions", from_questions, key="1" * 64),
        "instructions": artifact(folder, "instructions", from_instructions, key="2" * 64),
    }
    leaves = {"pack:queries": "builtin://hamlet", "suite:hhh": "pack://hhh"}
    step = context(folder, "prompts", parameters=settings, inputs=inputs, leaves=leaves)
    manifest = prompts.run(step)
    return manifest, published_rows(step, manifest, Prompt)


def test_prompts_of_both_steps_are_published_with_their_verdicts(tmp_path: Path) -> None:
    item = PACK.suites["suite.hhh.json"]
    question = re.findall(r'"input": "([^"]+)"', item)[0]
    from_questions = prompt_rows(
        "topic-guided", question, "How deep is the old harbour?", "Why do bees hum at noon?", "Hm?"
    )
    from_questions.append(Prompt(id="dropped", instruction="Cut of", source="topic-guided", reject="cut"))
    from_instructions = prompt_rows(
        "self-instruct", "How deep is the old harbour!", "Sort these five words", "Count to seven"
    )
    manifest, published = merge_prompts(tmp_path, from_questions, from_instructions)
    expected = {p.id for p in [*from_questions, *from_instructions]} - {"dropped"}  # rejected earlier, not read here
    assert {p.id for p in published} == expected
    assert manifest.counts.rejected == {"contamination": 1, "too-short": 1, "duplicate": 1, "over-limit": 1}
    assert next(p.reject for p in published if p.instruction == question) == "contamination"
    assert manifest.counts.kept == 3


def test_no_prompt_left_is_a_failure_with_counts_reasons_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"all 2 prompts were rejected \(too-short 2\).*dedupRougeL") as caught:
        merge_prompts(tmp_path, prompt_rows("topic-guided", "Hm?"), prompt_rows("self-instruct", "Go"))
    assert caught.value.reason == "YieldTooLow"
    assert caught.value.counts is not None and caught.value.counts.rejected == {"too-short": 2}
