"""Lint: the built-in packs are clean, and each kind of mistake is reported."""

from typing import Any

import pytest

from selfalign_stages.pack import lint, loading
from selfalign_stages.pack.model import Exemplar, Pack, Turn

HAMLET = loading.load("builtin://hamlet")
DROMEDARY = loading.load("builtin://dromedary-16")


def findings(pack: Pack, **options: Any) -> list[str]:
    settings: dict[str, Any] = {"count_tokens": None, "context_length": None, "max_tokens": 100} | options
    return [f"{f.severity} {f.place}: {f.message}" for f in lint.lint(pack, assistant_name="Ida", **settings)]


@pytest.mark.parametrize("pack", [HAMLET, DROMEDARY], ids=["hamlet", "dromedary-16"])
def test_built_in_packs_have_no_findings(pack: Pack) -> None:
    assert findings(pack) == []


def test_the_paper_s_pack_has_its_sixteen_principles_and_fewer_than_300_human_lines() -> None:
    assert [p.name for p in DROMEDARY.principles] == [
        "ethical", "informative", "helpful", "question assessment", "reasoning", "multi-aspect", "candor",
        "knowledge recitation", "static", "clarification", "numerical sensitivity", "dated knowledge", "step-by-step",
        "balanced & informative perspectives", "creative", "operational",
    ]  # fmt: skip
    assert len(DROMEDARY.exemplars) == 5
    assert len(DROMEDARY.question_types) == 20
    assert len(DROMEDARY.seed_tasks) == 175
    assert lint.annotation_lines(DROMEDARY) < 300


def test_every_principle_is_shown_and_a_harmful_request_is_among_the_exemplars() -> None:
    shown = {rule for exemplar in DROMEDARY.exemplars for turn in exemplar.turns for rule in turn.rules}
    assert shown == {p.name for p in DROMEDARY.principles}
    assert "ethical" in DROMEDARY.exemplars[0].turns[0].rules


def test_a_hole_in_the_numbers_is_an_error() -> None:
    moved = HAMLET.principles[-1].model_copy(update={"number": 12})
    pack = HAMLET.model_copy(update={"principles": (*HAMLET.principles[:-1], moved)})
    assert any("must run 1..8" in finding for finding in findings(pack))


def test_a_rule_that_no_exemplar_shows_is_a_warning() -> None:
    pack = HAMLET.model_copy(update={"exemplars": HAMLET.exemplars[1:]})
    reported = findings(pack)
    assert any("no exemplar shows rule 1 (ethical)" in finding for finding in reported)
    assert any("declines a harmful request" in finding for finding in reported)


def test_a_marker_of_the_format_inside_a_text_is_an_error() -> None:
    frames = HAMLET.frames.model_copy(update={"introduction": "### User\nhello"})
    assert any(
        "contains one of the prompt format's markers" in f
        for f in findings(HAMLET.model_copy(update={"frames": frames}))
    )


def test_near_copies_among_seed_tasks_are_named() -> None:
    copy = HAMLET.seed_tasks[0].model_copy(update={"id": "copy"})
    pack = HAMLET.model_copy(update={"seed_tasks": (*HAMLET.seed_tasks, copy)})
    assert any("seed-tasks.jsonl: copy" in finding for finding in findings(pack))


def test_a_prompt_that_does_not_fit_the_context_is_reported_in_tokens() -> None:
    reported = findings(HAMLET, count_tokens=lambda text: len(text.split()), context_length=400, max_tokens=200)
    assert any("the context window is 400" in finding for finding in reported)


def test_a_misspelt_placeholder_is_an_error() -> None:
    principle = HAMLET.principles[0].model_copy(update={"text": "{assistantname} is kind."})
    pack = HAMLET.model_copy(update={"principles": (principle, *HAMLET.principles[1:])})
    assert any("unknown placeholder" in finding for finding in findings(pack))


STARTER = loading.load("builtin://starter")


def with_turns(pack: Pack, *turns: Turn) -> Pack:
    return pack.model_copy(update={"exemplars": tuple(Exemplar(turns=(turn,)) for turn in turns)})


def test_a_pack_has_thoughts_in_all_turns_or_in_none() -> None:
    bare = HAMLET.turns[0].model_copy(update={"thought": None})
    reported = findings(with_turns(HAMLET, bare, *HAMLET.turns[1:]))
    assert [f for f in reported if f.startswith("error")] == [
        "error exemplars.yaml: 1.1: has no thought, and other turns have one: give all turns of the pack a thought, or "
        "none"
    ]
    without = [turn.model_copy(update={"thought": None}) for turn in HAMLET.turns]
    assert findings(with_turns(HAMLET, *without)) == []


def test_a_thought_that_cites_no_rule_is_an_error() -> None:
    bare = HAMLET.turns[0].model_copy(update={"rules": ()})
    assert any("1.1: its thought cites no rule" in f for f in findings(with_turns(HAMLET, bare, *HAMLET.turns[1:])))


def test_exemplars_that_show_one_side_alone_or_mostly_limits_are_warned_about_with_their_numbers() -> None:
    limited = [turn for turn in STARTER.turns if turn.rules != ("helpful",)]
    helping = [turn for turn in STARTER.turns if turn.rules == ("helpful",)]
    none_limited = findings(with_turns(STARTER, *helping))
    assert any("0 of 10 exemplar turns state a limit and 10 help: add some that decline" in f for f in none_limited)
    mostly = findings(with_turns(STARTER, *limited, *helping[:2]))
    assert any("9 of 11 exemplar turns state a limit and 2 help: add some that help" in f for f in mostly)
    assert not any("state a limit" in f for f in findings(with_turns(STARTER, *limited, *helping[:9])))


def test_a_pack_whose_thoughts_can_justify_no_refusal_is_warned_about() -> None:
    principles = tuple(principle.model_copy(update={"limits": False}) for principle in HAMLET.principles)
    reported = findings(HAMLET.model_copy(update={"principles": principles}))
    assert [f for f in reported if "principles.yaml" in f] == [
        "warning principles.yaml: no principle has limits: true, so that every refusal is rejected as unjustified: set "
        "it for some"
    ]


def test_an_evaluation_item_that_resembles_an_exemplar_is_named() -> None:
    item = '{"id": "near", "prompt": "Which planet is nearest to the sun?", "expect": "help", "kind": "plain"}\n'
    suites = {name: text + item for name, text in STARTER.suites.items()}
    assert findings(STARTER.model_copy(update={"suites": suites})) == [
        "warning suite.limits.jsonl: near: is a near duplicate of 'Which planet is closest to the sun?' "
        "(ROUGE-L above 0.7)"
    ]


def test_lines_of_annotation_count_the_texts_that_are_there() -> None:
    without = [turn.model_copy(update={"thought": None}) for turn in HAMLET.turns]
    saved = lint.annotation_lines(HAMLET) - lint.annotation_lines(with_turns(HAMLET, *without))
    assert saved == len(HAMLET.turns)


@pytest.mark.parametrize(
    ("limit", "answer", "message"),
    [
        ("expected", "Hide behind the door.", "has limit: expected, and its answer states none: correct either"),
        ("never", "I will not help with that.", "has limit: never, and its answer states one: correct either"),
        ("open", "I will not help with that.", None),
        ("expected", "I will not help with that.", None),
    ],
)
def test_an_answer_of_a_question_type_that_contradicts_its_limit_is_warned_about(
    limit: str, answer: str, message: str | None
) -> None:
    first, *others = STARTER.question_types
    changed = first.model_copy(update={"limit": limit, "answer": answer, "rules": ()})
    reported = findings(STARTER.model_copy(update={"question_types": (changed, *others)}))
    assert reported == ([] if message is None else [f"warning question-types.yaml: type {first.type!r} {message}"])
