"""Parsing completions, and detecting prompt text in answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfalign_stages.pack import rendering, thoughts
from selfalign_stages.pack.leaks import LeakFilter
from selfalign_stages.pack.loading import load
from selfalign_stages.pack.thoughts import ParsedAnswer

PACK = load("builtin://dromedary-16")
NAME = "Ida"
LEAKS = LeakFilter.of(PACK, assistant_name=NAME)
THOUGHT = "This asks for a fact. I should follow rules 2 (informative), 14 (balanced & informative perspectives)."
GOOD = f"{THOUGHT}\n\n### Ida\nIce."


def parse(text: str) -> ParsedAnswer | str:
    return thoughts.parse(text, pack=PACK, assistant_name=NAME)


def test_a_completion_is_split_into_thought_and_answer() -> None:
    assert parse(GOOD) == ParsedAnswer(thought=THOUGHT, rules=(2, 14), answer="Ice.")


@pytest.mark.parametrize("lead", [" ", "\n", "  \n "])
def test_leading_space_rejects_no_answer(lead: str) -> None:
    assert isinstance(parse(lead + GOOD), ParsedAnswer)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("This asks for a fact.", "no-answer"),
        ("No cue here.\n\n### Ida\nIce.", "no-rules"),
        ("I should follow rules none.\n\n### Ida\nIce.", "no-rules"),
        ("I should follow rules 2 (kindness).\n\n### Ida\nIce.", "unknown-rule"),
        ("I should follow rules 2 (informative), 3 (Helpful).\n\n### Ida\nIce.", "unknown-rule"),
        (f"I should follow rules {'2' * 5000} (kindness).\n\n### Ida\nIce.", "unknown-rule"),
        ("I should follow rules \u00b2 (informative).\n\n### Ida\nIce.", "no-rules"),
        ("I should follow rules 2 (informative).\n\n### Ida\n  ", "no-answer"),
        ("I should follow rules 2 (informative).\n\n### Somebody\nIce.", "no-answer"),
    ],
)
def test_what_is_malformed_has_a_reason(text: str, reason: str) -> None:
    assert parse(text) == reason


@pytest.mark.parametrize(
    ("listed", "rules", "renumbered"),
    [
        ("2 (informative)", (2,), 0),
        ("02 (informative)", (2,), 0),
        ("\u0662 (informative)", (2,), 0),  # Arabic digits
        ("\uff12\uff08informative\uff09\u3001\uff17\uff08candor\uff09", (2, 7), 0),  # of double width
        ("12 (informative), 1 (ethical)", (2, 1), 1),
        ("99 (informative), 99 (candor)", (2, 7), 2),
        (f"{'2' * 5000} (informative)", (2,), 1),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_name_decides_over_its_number_and_wrong_numbers_are_counted(
    listed: str, rules: tuple[int, ...], renumbered: int
) -> None:
    parsed = parse(f"I should follow rules {listed}.\n\n### Ida\nIce.")
    assert isinstance(parsed, ParsedAnswer) and (parsed.rules, parsed.renumbered) == (rules, renumbered)


@pytest.mark.parametrize(
    "listed",
    [
        "1" * 1_000_000,
        "1 " * 500_000,
        "1 (" * 300_000,
        "1 (" + "a" * 1_000_000,
        "1" + " " * 1_000_000,
        "1 (a(b)" * 150_000,
    ],
    ids=["digits", "numbers", "open", "unclosed", "blanks", "nested"],
)
def test_a_looping_model_takes_linear_time(listed: str) -> None:
    """With a quadratic search each of these would take minutes to hours."""
    assert parse(f"I should follow rules {listed}\n\n### Ida\nIce.") in ("no-rules", "unknown-rule")


@given(st.text() | st.text().map(lambda x: f"I should follow rules {x}\n\n### Ida\n{x}"))
def test_any_text_parses_to_something(text: str) -> None:
    assert isinstance(parse(text), ParsedAnswer | str)


def test_every_rendered_thought_reads_back() -> None:
    assert PACK.turns
    for turn in PACK.turns:
        cited = [PACK.principle(rule) for rule in turn.rules]
        parsed = parse(f"{rendering.thought(turn.thought or '', cited)}\n\n### Ida\n{turn.answer}")
        assert isinstance(parsed, ParsedAnswer)
        assert parsed.rules == tuple(principle.number for principle in cited)


def test_an_exemplar_s_answer_to_another_question_is_a_leak() -> None:
    answer = PACK.exemplars[2].turns[0].answer
    assert LEAKS.reason(answer, query="Who painted the Mona Lisa?") == "leak-exemplar-3"


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (
            "Which films are in cinemas this week?",
            "I cannot tell which film leads this week, because I have no access to current listings "
            "and my knowledge ends in September 2021.",
        ),
        ("What is the weather in Oslo?", "I cannot see today's weather; a forecast service can tell you."),
        ("Why do my basil leaves turn yellow?", "Too much water is the most frequent cause; let the soil dry."),
    ],
)
def test_an_honest_answer_to_a_question_like_an_exemplar_s_is_no_leak(query: str, answer: str) -> None:
    assert LEAKS.reason(answer, query=query) is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Fine.\n### User\nMore", "leak-marker"),
        ("Fine.\n## Example 7\nMore", "leak-marker"),
        ("Fine.\n### Ida (internal thoughts)\nMore", "leak-marker"),
        ("The text ends here.<|endoftext|>Another", "leak-marker"),
        ("Good apps have\n### User interfaces\nthat are clear.", None),
        ("## Examples\nA plum.", None),
        ("### Example\nA plum.", None),
        ("I should follow rules 2 (informative).", "leak-marker"),
        ("Ida (in depth) says hello.", "leak-marker"),
        ("It opens with the direct answer and then unfolds it: background and so on.", "leak-verbose-prompt"),
        ("Ida is a fixed text model without clock, location or internet.", "leak-principles"),
    ],
)
def test_prompt_text_is_named_as_what_it_is(answer: str, reason: str) -> None:
    assert LEAKS.reason(answer, query="Hello?") == reason
