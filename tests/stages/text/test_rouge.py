"""ROUGE-L as rouge_score computes it, decided for whole collections."""

from random import Random

import pytest
from rouge_score import rouge_scorer

from selfalign_stages.text import rouge

SCORER = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
WORDS = "the old miller brings bread to a village near that river on every market day while children sing".split()


def reference(first: str, second: str) -> float:
    return float(SCORER.score(first, second)["rougeL"].fmeasure)


def phrase(random: Random, longest: int = 20) -> str:
    return " ".join(random.choice(WORDS) for _ in range(random.randint(1, longest)))


@pytest.mark.parametrize("seed", range(4))
def test_the_measure_equals_rouge_score_to_the_last_bit(seed: int) -> None:
    random = Random(seed)
    for _ in range(1500):
        first, second = phrase(random), phrase(random)
        assert rouge.rouge_l(first, second) == reference(first, second)


def test_ties_at_the_threshold_round_as_in_rouge_score() -> None:
    ties = [
        (c, m, n) for m in range(1, 61) for n in range(1, 61) for c in range(1, min(m, n) + 1) if 20 * c == 7 * (m + n)
    ]
    above = 0
    for common, m, n in ties:
        first = " ".join(["same"] * common + ["left"] * (m - common))
        second = " ".join(["same"] * common + ["right"] * (n - common))
        assert (rouge.f_measure(common, m, n) > 0.7) == (reference(first, second) > 0.7)
        above += rouge.f_measure(common, m, n) > 0.7
    assert 0 < above < len(ties)  # exact ties fall on both sides: they cannot be decided by integers


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_duplicates_are_those_of_the_slow_loop_in_order(seed: int, threshold: float) -> None:
    random = Random(seed)
    texts = [phrase(random, 12) for _ in range(250)]
    for _ in range(100):  # near copies
        words = random.choice(texts).split()
        words[random.randrange(len(words))] = random.choice(WORDS)
        texts.append(" ".join(words))
    known, kept, slow = texts[:20], list(texts[:20]), []
    for text in texts[20:]:
        near = any(reference(other, text) > threshold for other in kept)
        slow.append(near)
        kept += [] if near else [text]
    assert rouge.duplicates(texts[20:], known=known, threshold=threshold) == slow


def test_case_and_marks_do_not_hide_a_duplicate() -> None:
    assert rouge.duplicates(["Name three birds!"], known=["name THREE birds"], threshold=0.7) == [True]


def test_other_scripts_have_words_too() -> None:
    assert rouge.duplicates(["назови три птицы"], known=["Назови три птицы!"], threshold=0.7) == [True]


def test_texts_without_words_are_no_duplicates_and_no_crash() -> None:
    assert rouge.duplicates(["", "!!!", "?"], known=[""], threshold=0.7) == [False, False, False]
