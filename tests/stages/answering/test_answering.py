"""Judging completions: which answers are kept, and the reason of every rejected one."""

import pytest
from tests.steps_support import said

from selfalign_stages.answering import self_align, verbose
from selfalign_stages.contract.rows import Prompt
from selfalign_stages.engine.interface import Completion
from selfalign_stages.pack.leaks import LeakFilter
from selfalign_stages.pack.loading import load

PACK = load("builtin://hamlet")
PROMPT = Prompt(id="p", instruction="What colour is a plum?", source="topic-guided")
THOUGHT = "This asks for a fact about the plum. I should follow rules 2 (informative).\n\n### Ida\n"
judge = self_align.judging(PACK, assistant_name="Ida")


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        (said(THOUGHT + "A plum is purple."), None),
        (said(" " + THOUGHT + "A plum is purple."), None),
        (said(THOUGHT + "A plum is", finish="length"), "cut"),
        (Completion(text="", finish_reason="abort", tokens=0), "too-long"),
        (said("A plum is purple."), "no-answer"),
        (said(THOUGHT + "purple " * 14), "loop"),
        (said(THOUGHT + "I should follow rules 2 (informative)."), "leak-marker"),
        (said(THOUGHT + "What colour is a plum?"), "echo"),
        (said(THOUGHT + "I'm sorry, I cannot help with that."), "unjustified-refusal"),
    ],
)
def test_answers_are_judged_with_a_reason(completion: Completion, reason: str | None) -> None:
    assert judge(PROMPT, completion).reject == reason


def test_rule_numbers_and_thought_are_kept_with_the_row() -> None:
    row = judge(PROMPT, said(THOUGHT + "A plum is purple."))
    assert (row.rules, row.answer) == ((2,), "A plum is purple.")
    assert row.thought.startswith("This asks")


def test_completeness_follows_from_the_finish_reason_not_from_the_text() -> None:
    text = THOUGHT + "A plum is purple."
    assert judge(PROMPT, said(text, finish="stop")).reject is None
    assert judge(PROMPT, said(text, finish="length")).reject == "cut"


def test_repeated_words_in_a_sound_answer_are_neither_cut_nor_rejected() -> None:
    answer = "Plums are sweet. However, some are sour. However, all are plums."
    row = judge(PROMPT, said(THOUGHT + answer))
    assert (row.answer, row.reject) == (answer, None)


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        (said("A plum is purple, and ripe plums are sweet."), None),
        (said("A plum is purple, and ripe plums", finish="length"), "cut"),
        (said("A plum is purple, and ripe plums are sweet.", finish="length"), "cut"),
        (Completion(text="", finish_reason="abort", tokens=0), "too-long"),
        (said(""), "empty"),
        (said("purple " * 14), "loop"),
        (said("As Ida (in depth) I say purple."), "leak-marker"),
        (said("Ida (in depth) answers at length: an opening, the answer, more details"), "leak-marker"),
        (said("A helper answers at length: an opening, the answer, more details, and so on."), "leak-verbose-prompt"),
    ],
)
def test_verbose_answers_are_judged_with_a_reason(completion: Completion, reason: str | None) -> None:
    assert verbose.judge(PROMPT, completion, leaks=LeakFilter.of(PACK, assistant_name="Ida")).reject == reason


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        (said("<think>\nI should follow rules 2 (informative).\n</think>\n\nA plum is purple."), None),
        (said("<think>\n\n</think>\n\nA plum is purple."), None),
        (said("A plum is purple."), None),
        (said("<think>\nA plum is purple."), "malformed-thought"),
        (said("<think>\nOne.\n</think>\n\nA plum. <think>\nTwo.\n</think>\n\nIs purple."), "malformed-thought"),
        (said("<think>\nA plum is purple.\n</think>"), "empty"),
        (said("<think>\nA plum is purple", finish="length"), "cut"),
        (said("<think>\nOne.\n</think>\n\nI should follow rules 2 (informative)."), "leak-marker"),
        (said("<think>\nOne.\n</think>\n\n" + "purple " * 14), "loop"),
    ],
)
def test_verbose_answers_of_a_teacher_that_thinks_are_judged_without_the_thought(
    completion: Completion, reason: str | None
) -> None:
    row = verbose.judge(PROMPT, completion, leaks=LeakFilter.of(PACK, assistant_name="Ida"), thoughts=True)
    assert row.reject == reason
    assert reason is not None or row.answer == "A plum is purple."
