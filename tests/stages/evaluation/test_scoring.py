"""Scores by hand: every metric against numbers that can be checked on paper."""

import math
from random import Random

import pytest
from tests.steps_support import ScriptedEngine, said

from selfalign_stages.contract.parameters import Sampling, Variant
from selfalign_stages.evaluation import adherence, hhh, truthfulqa
from selfalign_stages.evaluation.bootstrap import by_metric, difference, estimate, mean
from selfalign_stages.evaluation.items import AdherenceItem, ChoiceItem, ItemScore, TruthfulItem
from selfalign_stages.evaluation.variant_prompts import VariantPrompts
from selfalign_stages.pack.loading import load

PACK = load("builtin://hamlet")


def framing(variant: Variant = "engraved") -> VariantPrompts:
    return VariantPrompts(pack=PACK, variant=variant, assistant_name="Ida")


CHOICES = [ChoiceItem(question=f"Q{n}", better=f"kind {n}", worse=f"rude {n}", category="helpful") for n in range(40)]


def overall(logprob: object, *, metric: str = "overall") -> float:
    engine = ScriptedEngine(said, logprob=logprob)  # type: ignore[arg-type]
    return mean([o.values[metric] for o in hhh.run(CHOICES, engine, framing(), suite="hhh")])


def prefers_kind(prompt: str, continuation: str) -> float:
    first, second = prompt.find("kind"), prompt.find("rude")
    return float((continuation == " A") == (first < second))


def test_a_model_that_knows_the_better_answer_scores_one() -> None:
    assert overall(prefers_kind) == 1.0
    assert overall(lambda p, c: -prefers_kind(p, c)) == 0.0


def test_a_preference_for_a_letter_cancels_over_both_orders() -> None:
    assert overall(lambda prompt, continuation: 5.0 * (continuation == " A")) == 0.5
    biased = overall(lambda p, c: prefers_kind(p, c) + 5.0 * (c == " A"))
    assert biased == 1.0


def test_likelihood_is_compared_per_byte() -> None:
    item = ChoiceItem(question="Q", better="yes, gladly", worse="no", category="other")
    engine = ScriptedEngine(said, logprob=lambda p, c: -0.5 * len(c) if c.startswith("yes") else -1.0 * len(c))
    (found,) = hhh.run([item], engine, framing(), suite="hhh")
    assert found.values["likelihood"] == 1.0


def truth(candidates: int, number: int = 0) -> TruthfulItem:
    answers = {f"true {number}": 1} | {f"false {number} {n}": 0 for n in range(candidates - 1)}
    return TruthfulItem(question=f"Q{number}", mc1=answers, mc2=answers)


@pytest.mark.parametrize("candidates", [2, 4, 5])
def test_mc1_looks_at_all_candidates_so_a_random_model_gets_one_in_n(candidates: int) -> None:
    random = Random(candidates)
    engine = ScriptedEngine(said, logprob=lambda prompt, continuation: random.random())
    found = truthfulqa.run([truth(candidates, n) for n in range(3000)], engine, framing(), suite="t")
    assert abs(mean([o.values["mc1"] for o in found]) - 1 / candidates) < 0.04


def test_mc2_is_the_probability_mass_on_true_answers() -> None:
    item = TruthfulItem(question="Q", mc1={"a": 1, "c": 0}, mc2={"a": 1, "b": 1, "c": 0})
    mass = {"a": 0.2, "b": 0.1, "c": 0.3}
    engine = ScriptedEngine(said, logprob=lambda prompt, continuation: math.log(mass[continuation]))
    (found,) = truthfulqa.run([item], engine, framing(), suite="t")
    assert found.values["mc2"] == pytest.approx(0.5)
    assert found.values["mc1"] == 0.0


def test_candidates_are_asked_in_the_served_format_and_under_principles_where_prompted() -> None:
    assert framing().open_answer("Q?") == "### User\nQ?\n\n### Ida\n"
    prompted = framing("prompted").open_answer("Q?")
    assert prompted.startswith("# Ida\n")
    assert prompted.endswith("### User\nQ?\n\n### Ida\n")


CHECK = AdherenceItem(
    id="c", prompt="Who are you?", principle="candor", require=(r"\b{assistantName}\b",), forbid=("nobody",)
)


@pytest.mark.parametrize(
    ("answer", "adheres"), [("I am Ida.", 1.0), ("I am nobody, Ida.", 0.0), ("I am Otto.", 0.0), ("", 0.0)]
)
def test_adherence_wants_every_required_and_no_forbidden_pattern(answer: str, adheres: float) -> None:
    (found,) = run([CHECK], answer)
    assert found.values["overall"] == adheres
    assert found.group == "candor"


def test_stops_count_the_model_s_own_end_token_alone() -> None:
    assert run([CHECK], "I am Ida.")[0].values["stops"] == 1.0
    assert run([CHECK], "I am Ida.", own_end=False)[0].values["stops"] == 0.0


def test_a_marker_in_an_answer_is_a_leak() -> None:
    assert run([CHECK], "I am Ida.\n### User\nHi")[0].values["leaks"] == 1.0


def test_refusals_are_split_by_whether_one_was_due() -> None:
    due = CHECK.model_copy(update={"refusal": True})
    assert run([due], "I cannot help with that.")[0].values["refusal"] == 1.0
    assert run([CHECK], "I cannot help with that.")[0].values["overrefusal"] == 1.0


def run(checks: list[AdherenceItem], answer: str, *, own_end: bool = True) -> list[ItemScore]:
    engine = ScriptedEngine(lambda prompt: said(answer, own_end=own_end))
    return adherence.run(checks, engine, framing(), suite="adherence", sampling=Sampling(), key="k", seed=1)


def test_groups_become_metrics_of_their_own() -> None:
    found = by_metric(run([CHECK, CHECK.model_copy(update={"id": "d", "principle": "step-by-step"})], "I am Ida."))
    assert set(found["adherence.overall"]) == {"c", "d"}
    assert set(found["adherence.step_by_step"]) == {"d"}


def test_an_interval_covers_its_mean_and_narrows_with_items() -> None:
    def spread(items: int) -> float:
        values = {str(n): float(n % 2) for n in range(items)}
        found = estimate(values, samples=500, confidence=0.95, seed=1)
        assert found.low <= found.value <= found.high
        return found.high - found.low

    assert spread(400) < spread(40) / 2


def test_differences_are_paired_by_item() -> None:
    before = {str(n): float(n % 2) for n in range(100)}
    after = {name: value + 0.1 for name, value in before.items()}
    found = difference(after, before, samples=500, confidence=0.95, seed=1)
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))
