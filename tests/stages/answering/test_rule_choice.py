"""The test of rule choice: an engine that understands scores 1, one with a favourite rule scores as by chance."""

from collections.abc import Callable
from pathlib import Path

from tests.steps_support import ScriptedEngine, context, said

from selfalign_stages.answering import rule_choice
from selfalign_stages.engine.open_engine import LazyEngine
from selfalign_stages.pack.loading import load

PACK = load("builtin://hamlet")
RIGHT = {turn.user: turn.rules for turn in PACK.turns}


def engine(logprob: Callable[[str, str], float]) -> ScriptedEngine:
    return ScriptedEngine(lambda request: said(""), logprob=logprob)


def asked(prompt: str) -> str:
    return prompt.rpartition("### User\n")[2].partition("\n")[0]


def understands(prompt: str, continuation: str) -> float:
    # A favourite rule all the same: calibration takes it off.
    favourite = 5.0 if "(creative)" in continuation else 0.0
    return favourite + float(any(f"({rule})" in continuation for rule in RIGHT[asked(prompt)]))


def test_a_model_that_understands_is_right_even_with_a_favourite_rule() -> None:
    assert rule_choice.measure(engine(understands), PACK, assistant_name="Ida") == 1.0


def test_a_model_that_cites_one_rule_for_everything_is_right_as_often_as_by_chance() -> None:
    same = engine(lambda prompt, continuation: 3.0 * ("(ethical)" in continuation))
    assert rule_choice.measure(same, PACK, assistant_name="Ida") == 1 / 8


def test_a_request_s_own_exemplar_is_not_in_its_prompt_and_every_rule_is_scored() -> None:
    recorded = engine(understands)
    rule_choice.measure(recorded, PACK, assistant_name="Ida")
    assert len(recorded.pairs) == len(PACK.turns) * len(PACK.principles)
    for prompt, continuation in recorded.pairs:
        assert prompt.count(f"### User\n{asked(prompt)}\n") == 1
        assert prompt.endswith("I should follow rules") and continuation.startswith(" ")


def test_a_resumed_step_reads_what_was_measured_and_loads_no_model(tmp_path: Path) -> None:
    first, second = engine(understands), engine(understands)
    measured = [
        rule_choice.measure_once(
            context(tmp_path, "answers"),
            LazyEngine(context(tmp_path, "answers"), model="baseModel", load=recorded.load),
            PACK,
            assistant_name="Ida",
        )
        for recorded in (first, second)
    ]
    assert measured == [1.0, 1.0]
    assert (first.loaded, second.loaded) == (["baseModel"], [])
