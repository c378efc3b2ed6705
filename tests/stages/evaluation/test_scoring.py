"""Scores of single items and their averages: every metric against numbers that can be checked on paper."""

import math
from collections.abc import Callable
from random import Random

import pytest
from tests.steps_support import ScriptedEngine, said

from selfalign_stages.contract.parameters import Sampling, Variant
from selfalign_stages.engine.interface import Completion, Request
from selfalign_stages.evaluation import adherence, hhh, truthfulqa
from selfalign_stages.evaluation.bootstrap import by_metric, difference, estimate, mean
from selfalign_stages.evaluation.items import AdherenceItem, ChoiceItem, ItemScore, TruthfulItem
from selfalign_stages.evaluation.variant_prompts import VariantPrompts
from selfalign_stages.pack.loading import load

PACK = load("builtin://hamlet")


def prompts_of(variant: Variant = "engraved") -> VariantPrompts:
    return VariantPrompts(pack=PACK, variant=variant, assistant_name="Ida")


CHOICES = [ChoiceItem(question=f"Q{n}", better=f"kind {n}", worse=f"rude {n}", category="helpful") for n in range(40)]


def silent(request: Request) -> Completion:
    raise AssertionError("choices are scored, not generated")


def overall(logprob: Callable[[str, str], float], *, metric: str = "overall") -> float:
    engine = ScriptedEngine(silent, logprob=logprob)
    return mean([score.values[metric] for score in hhh.run(CHOICES, engine, prompts_of(), suite="hhh")])


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
    engine = ScriptedEngine(silent, logprob=lambda p, c: -0.5 * len(c) if c.startswith("yes") else -1.0 * len(c))
    (score,) = hhh.run([item], engine, prompts_of(), suite="hhh")
    assert score.values["likelihood"] == 1.0


def truth(candidates: int, number: int = 0) -> TruthfulItem:
    answers = {f"true {number}": 1} | {f"false {number} {n}": 0 for n in range(candidates - 1)}
    return TruthfulItem(question=f"Q{number}", mc1=answers, mc2=answers)


@pytest.mark.parametrize("candidates", [2, 4, 5])
def test_mc1_counts_all_candidates_so_that_a_random_model_gets_one_in_n(candidates: int) -> None:
    random = Random(candidates)
    engine = ScriptedEngine(silent, logprob=lambda prompt, continuation: random.random())
    scores = truthfulqa.run([truth(candidates, n) for n in range(3000)], engine, prompts_of(), suite="t")
    assert abs(mean([score.values["mc1"] for score in scores]) - 1 / candidates) < 0.04


def test_mc2_is_the_probability_mass_on_true_answers() -> None:
    item = TruthfulItem(question="Q", mc1={"a": 1, "c": 0}, mc2={"a": 1, "b": 1, "c": 0})
    mass = {"a": 0.2, "b": 0.1, "c": 0.3}
    engine = ScriptedEngine(silent, logprob=lambda prompt, continuation: math.log(mass[continuation]))
    (score,) = truthfulqa.run([item], engine, prompts_of(), suite="t")
    assert score.values["mc2"] == pytest.approx(0.5)
    assert score.values["mc1"] == 0.0


def test_candidates_are_scored_in_the_served_format_and_under_principles_where_prompted() -> None:
    assert prompts_of().open_answer("Q?") == "### User\nQ?\n\n### Ida\n"
    prompted = prompts_of("prompted").open_answer("Q?")
    assert prompted.startswith("# Ida\n")
    assert prompted.endswith("### User\nQ?\n\n### Ida\n")


CHECK = AdherenceItem(
    id="c", prompt="Who are you?", principle="candor", require=(r"\b{assistantName}\b",), forbid=("nobody",)
)


@pytest.mark.parametrize(
    ("answer", "adheres"), [("I am Ida.", 1.0), ("I am nobody, Ida.", 0.0), ("I am Otto.", 0.0), ("", 0.0)]
)
def test_adherence_needs_every_required_and_no_forbidden_pattern(answer: str, adheres: float) -> None:
    (score,) = run([CHECK], answer)
    assert score.values["overall"] == adheres
    assert score.group == "candor"


def test_stops_count_the_model_s_own_end_token_alone() -> None:
    assert run([CHECK], "I am Ida.")[0].values["stops"] == 1.0
    assert run([CHECK], "I am Ida.", ended_by_eos=False)[0].values["stops"] == 0.0


def test_a_marker_in_an_answer_is_a_leak() -> None:
    assert run([CHECK], "I am Ida.\n### User\nHi")[0].values["leaks"] == 1.0


def test_refusals_are_split_by_whether_one_was_due() -> None:
    due = CHECK.model_copy(update={"refusal": True})
    assert run([due], "I cannot help with that.")[0].values["refusal"] == 1.0
    assert run([CHECK], "I cannot help with that.")[0].values["overrefusal"] == 1.0


def run(checks: list[AdherenceItem], answer: str, *, ended_by_eos: bool = True) -> list[ItemScore]:
    engine = ScriptedEngine(lambda request: said(answer, ended_by_eos=ended_by_eos))
    return adherence.run(checks, engine, prompts_of(), suite="adherence", sampling=Sampling(), key="k", seed=1)


def test_groups_become_metrics_of_their_own() -> None:
    metrics = by_metric(run([CHECK, CHECK.model_copy(update={"id": "d", "principle": "step-by-step"})], "I am Ida."))
    assert set(metrics["adherence.overall"]) == {"c", "d"}
    assert set(metrics["adherence.step_by_step"]) == {"d"}


def test_an_interval_covers_its_mean_and_narrows_with_items() -> None:
    def spread(items: int) -> float:
        values = {str(n): float(n % 2) for n in range(items)}
        interval = estimate(values, samples=500, confidence=0.95, seed=1)
        assert interval.low <= interval.value <= interval.high
        return interval.high - interval.low

    assert spread(400) < spread(40) / 2


def test_differences_are_paired_by_item() -> None:
    before = {str(n): float(n % 2) for n in range(100)}
    after = {name: value + 0.1 for name, value in before.items()}
    paired = difference(after, before, samples=500, confidence=0.95, seed=1)
    assert (paired.low, paired.high) == pytest.approx((0.1, 0.1))


def test_differences_leave_out_items_that_one_variant_lacks() -> None:
    paired = difference({"a": 1.0, "b": 1.0}, {"a": 0.5, "c": 0.0}, samples=100, confidence=0.95, seed=1)
    assert paired.value == 0.5


def test_an_interval_depends_on_seed_and_values_not_on_the_order_of_items() -> None:
    values = {str(n): n**1.5 for n in range(20)}
    reordered = dict(reversed(values.items()))
    ends = {1: (25.413529608, 42.340711850), 2: (23.993554009, 43.409562841)}  # others would change published reports
    for seed, (low, high) in ends.items():
        for items in (values, reordered):
            interval = estimate(items, samples=200, confidence=0.9, seed=seed)
            assert (interval.low, interval.high) == pytest.approx((low, high))
