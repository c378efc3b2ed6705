"""Step answers in Spanish, Chinese and Arabic: which answers are kept, why others are not, and what shares count."""

from pathlib import Path
from typing import Any

import pytest
from tests.stages.languages.arabic import ARABIC
from tests.stages.languages.chinese import CHINESE
from tests.stages.languages.spanish import SPANISH
from tests.stages.languages.voices import Voice
from tests.steps_support import ScriptedEngine, artifact, context, said

from selfalign_stages.answering import self_align, verbose
from selfalign_stages.artifacts import reading
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import AnswersParameters, Sampling, VerboseAnswersParameters
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.engine.interface import Completion, Request

NAME = "Ida"
SAMPLING = Sampling(temperature=0.3, top_p=1.0, max_tokens=40)
VERDICTS = {
    "good": None,
    "plain no": None,
    "limit of harm": None,
    "limit of live": None,
    "asks back": None,
    "unjustified": "unjustified-refusal",
    "missing": "missing-limit",
    "loop": "loop",
    "leak": "leak-exemplar-6",
    "leak of a rule": "leak-principles",
    "leak of a limit": "leak-exemplar-2",
    "like an exemplar": None,
    "near an exemplar": None,
    "foreign": None,
    "cut": "cut",
    "echo": "echo",
}
"""Reject reason by case, where the base model answers without a thought."""
SHARES = {
    "keptShare": 0.5,  # 8 of 16
    "loopShare": 0.0625,
    "refusalShare": 0.625,  # of the 8: harm, live, asks back, like and near an exemplar
    "distinctAnswers": 1.0,
    "languageShare": 0.875,  # all but one of the 8
    "renumberedShare": 0.0,
}


def run(folder: Path, voice: Voice, *, thought: Any) -> tuple[Manifest, dict[str, Answer]]:
    """Runs the step on all cases of a voice; rows by name of the case."""
    kinds = voice.pack.question_types
    prompts = [
        Prompt(
            id=name,
            instruction=case.query,
            source="self-instruct" if case.kind is None else "topic-guided",
            type=None if case.kind is None else kinds[case.kind].type,
        )
        for name, case in voice.cases.items()
    ]
    by_query = {case.query: case for case in voice.cases.values()}

    def reply(request: Request) -> Completion:
        case = by_query[request.prompt.rpartition("### User\n")[2].partition("\n\n###")[0]]
        if thought == "none":
            return said(case.reply, finish=case.finish)
        rule = voice.pack.principles[case.rule - 1]
        cited = f"{voice.pack.turns[0].thought} I should follow rules {rule.number} ({rule.name})."
        return said(f"{cited}\n\n### {NAME}\n{case.reply}", finish=case.finish)

    step = context(
        folder,
        "answers",
        parameters=AnswersParameters(assistant_name=NAME, sampling=SAMPLING, thought=thought),
        inputs={"prompts": artifact(folder, "prompts", prompts)},
        leaves={"pack:rules": voice.uri},
    )
    manifest = self_align.run(step, load=ScriptedEngine(reply).load)
    return manifest, {row.id: row for row in reading.rows(step.store, manifest, Answer, kept=False)}


@pytest.mark.parametrize("voice", [SPANISH, CHINESE, ARABIC], ids=lambda voice: voice.name)
def test_answers_are_judged_alike_in_every_language(voice: Voice, tmp_path: Path) -> None:
    manifest, rows = run(tmp_path, voice, thought="none")
    assert {name: row.reject for name, row in rows.items()} == VERDICTS
    assert {name: manifest.metrics[name] for name in SHARES} == SHARES


def test_a_thought_in_spanish_is_read_and_its_rule_justifies_a_refusal(tmp_path: Path) -> None:
    manifest, rows = run(tmp_path, SPANISH, thought="free")
    # A thought tells what a limit is due to; without a question type's expectation, none is missing.
    assert {name: row.reject for name, row in rows.items()} == VERDICTS | {"missing": None}
    assert rows["limit of harm"].rules == (1,) and rows["good"].rules == (5,)
    shares = SHARES | {"keptShare": 0.5625, "refusalShare": 0.5556, "languageShare": 0.8889}
    assert {name: manifest.metrics[name] for name in SHARES} == shares


@pytest.mark.parametrize("voice", [SPANISH, CHINESE, ARABIC], ids=lambda voice: voice.name)
def test_verbose_answers_that_loop_or_repeat_the_prompt_are_rejected(voice: Voice, tmp_path: Path) -> None:
    pack = voice.pack
    texts = {
        "good": voice.cases["good"].reply,
        "loop": voice.cases["loop"].reply,
        "leak": pack.fill(pack.frames.verbose, assistant_name="Juno"),
        "name": f"{pack.fill(pack.frames.verbose_name, assistant_name=NAME)}: {voice.cases['good'].reply}",
    }
    prompts = [Prompt(id=name, instruction=f"{voice.cases['good'].query} ({name})", source="seed") for name in texts]
    step = context(
        tmp_path,
        "verbose-answers",
        parameters=VerboseAnswersParameters(assistant_name=NAME, sampling=SAMPLING),
        inputs={"prompts": artifact(tmp_path, "prompts", prompts)},
        leaves={"pack:verbose": voice.uri},
    )
    engine = ScriptedEngine(lambda request: said(next(texts[name] for name in texts if f"({name})" in request.prompt)))
    manifest = verbose.run(step, load=engine.load)
    rows = reading.rows(step.store, manifest, Answer, kept=False)
    assert {row.id: row.reject for row in rows} == {
        "good": None,
        "loop": "loop",
        "leak": "leak-verbose-prompt",
        "name": "leak-marker",
    }
