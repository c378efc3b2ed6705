"""The village's text depends on the seed alone, and good and careless answers differ where the patterns require it."""

import re
from collections import Counter
from random import Random

import pytest

from hamlet import documents, items, kinds, styles
from hamlet.items import Item
from selfalign_stages.pack import rendering
from selfalign_stages.pack.thoughts import ParsedAnswer, parse
from selfalign_stages.text import rouge

NAME = "Juniper"
DRAWS = 60


def adheres(item: Item, answer: str) -> bool:
    required = all(re.search(pattern, answer) for pattern in item.require)
    return required and not any(re.search(pattern, answer) for pattern in item.forbid)


def drawn(kind: str) -> list[Item]:
    random = Random(11)
    if kind == "identity":
        return [kinds.identity(random, NAME) for _ in range(DRAWS)]
    return [kinds.KINDS[kind](random) for _ in range(DRAWS)]


def test_the_same_seed_makes_the_same_documents_and_another_seed_others() -> None:
    def made(seed: int) -> list[str]:
        random = Random(seed)
        return [documents.document(random) for _ in range(40)]

    assert made(7) == made(7)
    assert made(7) != made(8)


@pytest.mark.parametrize("kind", [*kinds.KINDS, "identity"])
def test_good_and_long_answers_match_the_patterns_of_their_question(kind: str) -> None:
    random = Random(3)
    for item in drawn(kind):
        assert adheres(item, item.good), item
        assert adheres(item, styles.long(random, item)), item


@pytest.mark.parametrize("kind", [*kinds.KINDS, "identity"])
def test_careless_answers_fail_the_patterns_of_their_question(kind: str) -> None:
    for item in drawn(kind):
        assert not adheres(item, item.careless), item
        assert all(not adheres(item, wrong) for wrong in item.wrong), item


def test_long_answers_have_twice_the_words_of_good_ones() -> None:
    random = Random(5)
    drawn_items = [kinds.draw(random, NAME) for _ in range(200)]
    short = sum(len(item.good.split()) for item in drawn_items)
    assert sum(len(styles.long(random, item).split()) for item in drawn_items) >= 2.2 * short


def test_every_rule_is_called_for_by_some_kind_of_question() -> None:
    random = Random(1)
    assert {kinds.draw(random, NAME).rule for _ in range(300)} == set(items.RULES)


def test_guidelines_name_only_listed_rules_by_their_numbers() -> None:
    random = Random(2)
    for _ in range(20):
        pack = documents.toy_pack(random, NAME)
        text = documents.further_example(random, pack, NAME)
        if rendering.thoughts_heading(NAME) in text:
            completion = text.partition(f"{rendering.thoughts_heading(NAME)}\n")[2]
            assert isinstance(parse(completion, pack=pack, assistant_name=NAME), ParsedAnswer)


def test_where_no_listed_rule_fits_the_answer_is_careless() -> None:
    random, careful = Random(4), Counter[bool]()
    for _ in range(200):
        turn = documents.example(random, NAME, ["creative"])
        careful[turn.answer.startswith("The little ")] += 1
        assert turn.rules == ("creative",)
    assert careful[True] and careful[False]


def test_choices_show_both_answers_and_reply_with_a_letter() -> None:
    random = Random(6)
    letters = Counter(documents.choice(random, NAME, good=True, frame="Which?")[1] for _ in range(60))
    assert set(letters) == {f"{rendering.CHOICE_PREFIX} A.", f"{rendering.CHOICE_PREFIX} B."}
    assert min(letters.values()) > 15


def test_hundreds_of_questions_survive_the_dedup_of_a_run() -> None:
    random = Random(9)
    asked = [kinds.draw(random, NAME).question for _ in range(1000)]
    assert rouge.duplicates(asked, known=[], threshold=0.7).count(False) > 500
