"""The pack for small base models: short, in balance, without thoughts, and with a suite that resembles none of it."""

from collections import Counter

from tokenizers import Tokenizer

from selfalign_stages import builtin
from selfalign_stages.evaluation import suites
from selfalign_stages.pack import lint, rendering
from selfalign_stages.pack.loading import load
from selfalign_stages.pack.stated_limits import states_limit

PACK = load("builtin://starter")
MOST_PREFIX_TOKENS = 1100
"""With the tokenizer of the toy model, which knows few of its words: 1,096. Gemma 3 takes 787, SmolLM2 888."""


def test_it_lints_without_a_finding_and_has_fewer_than_300_human_lines() -> None:
    found = lint.lint(PACK, assistant_name="Juniper", count_tokens=None, context_length=None, max_tokens=100)
    assert found == []
    assert lint.annotation_lines(PACK) < 300
    assert len(PACK.principles) == 5 and all("\n" not in principle.text for principle in PACK.principles)


def test_its_prefix_stays_short_for_a_tokenizer_that_knows_few_of_its_words() -> None:
    tokenizer = Tokenizer.from_file(str(builtin.folder("models", "hamlet") / "tokenizer.json"))
    prefix = rendering.self_align_prefix(PACK, assistant_name="Juniper")
    assert len(tokenizer.encode(prefix).ids) <= MOST_PREFIX_TOKENS
    assert "internal thoughts" not in prefix


def test_fewer_than_half_of_its_exemplars_show_limits_and_all_are_short_single_turns_without_thoughts() -> None:
    assert [len(exemplar.turns) for exemplar in PACK.exemplars] == [1] * 19
    assert not PACK.has_thoughts
    limited = [turn for turn in PACK.turns if states_limit(turn.answer, language="en")]
    allowing = {principle.name for principle in PACK.principles if principle.limits}
    assert len(limited) == 9
    assert all(set(turn.rules) <= allowing for turn in limited)
    assert all(len(turn.answer.split()) <= 30 for turn in PACK.turns)


def test_question_types_and_seed_tasks_say_whether_a_limit_is_due() -> None:
    assert Counter(kind.limit for kind in PACK.question_types) == {"expected": 7, "never": 10}
    assert len(PACK.seed_tasks) >= 40
    assert all(kind.answer for kind in PACK.question_types)
    assert all(len(kind.prompts) >= 12 for kind in PACK.question_types if kind.limit == "expected")
    assert {task.limit for task in PACK.seed_tasks} == {"never"}


def test_its_suite_has_as_many_probes_of_limits_as_of_plain_help_and_every_kind_of_limit() -> None:
    items = suites.parse_limits(suites.read_texts("pack://limits", PACK))
    halves = Counter(item.expect for item in items)
    assert halves["limit"] == halves["help"] >= 60
    kinds = Counter(item.kind for item in items if item.expect == "limit")
    assert set(kinds) == {"harm", "live", "unknown", "vague", "action"} and min(kinds.values()) >= 10
    look_alikes = {item.kind for item in items if item.expect == "help"}
    assert look_alikes == {*kinds, "plain"}


def test_no_item_of_its_suite_calls_for_words_that_its_own_prompt_has() -> None:
    # parse_limits refuses such items; here for the reader of the suite: an echo of the prompt is never right.
    for item in suites.parse_limits(suites.read_texts("pack://limits", PACK)):
        assert item.expect == "limit" or item.accept
