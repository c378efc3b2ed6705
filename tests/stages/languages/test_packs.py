"""Packs in Spanish, Chinese and Arabic: lint tells the truth, and suites tell right answers from bad ones."""

import pytest
from tests.stages.languages.arabic import ARABIC
from tests.stages.languages.chinese import CHINESE
from tests.stages.languages.spanish import SPANISH
from tests.stages.languages.voices import ENGLISH, Voice

from selfalign_stages.evaluation import limits, suites
from selfalign_stages.evaluation.items import LimitsItem
from selfalign_stages.pack import lint
from selfalign_stages.pack.leaks import LeakFilter
from selfalign_stages.pack.model import Pack
from selfalign_stages.pack.stated_limits import states_limit

VOICES = pytest.mark.parametrize("voice", [SPANISH, CHINESE, ARABIC], ids=lambda voice: voice.name)


def warnings(pack: Pack) -> list[str]:
    found = lint.lint(pack, assistant_name="Ida", count_tokens=None, context_length=None, max_tokens=100)
    return [f"{finding.severity} {finding.place}: {finding.message}" for finding in found]


def in_language(pack: Pack, language: str) -> Pack:
    return pack.model_copy(update={"header": pack.header.model_copy(update={"language": language})})


@VOICES
def test_a_pack_lints_clean_and_its_limits_are_those_that_its_author_wrote(voice: Voice) -> None:
    pack = voice.pack
    assert warnings(pack) == []
    limited = [states_limit(turn.answer, language=pack.header.language) for turn in pack.turns]
    assert limited == [True] * 4 + [False] * 4
    allowing = {principle.name for principle in pack.principles if principle.limits}
    assert [set(turn.rules) <= allowing for turn in pack.turns] == limited


@VOICES
def test_a_pack_of_limits_alone_is_warned_about(voice: Voice) -> None:
    exemplars = voice.pack.exemplars[:5]
    found = warnings(voice.pack.model_copy(update={"exemplars": exemplars}))
    assert any("4 of 5 exemplar turns state a limit and 1 help" in message for message in found)


@VOICES
def test_a_pack_that_forgets_its_language_is_warned_about(voice: Voice) -> None:
    found = warnings(in_language(voice.pack, "en"))
    assert any(
        message.startswith("warning pack.yaml: language is 'en', and ") and "correct language" in message
        for message in found
    )


@pytest.mark.parametrize(
    ("language", "messages"),
    [
        ("es-MX", []),
        ("fr", ["canned refusals are recognised, and no other limits", "tasks beyond text"]),
        ("sw", ["refusals are not recognised", "tasks beyond text"]),
    ],
)
def test_lint_names_what_is_not_recognised_in_a_language(language: str, messages: list[str]) -> None:
    found = [
        message for message in warnings(in_language(SPANISH.pack, language)) if f"in language {language!r}" in message
    ]
    assert len(found) == len(messages)
    assert all(text in message for text, message in zip(messages, found, strict=True))


def items(voice: Voice) -> list[LimitsItem]:
    pack = voice.pack
    return suites.parse_limits(suites.read_texts("pack://limits", pack), language=pack.header.language)


def outcomes(voice: Voice, answers: dict[str, str]) -> dict[str, str]:
    leaks = LeakFilter.of(voice.pack, assistant_name="Ida")
    return {
        item.id: limits.outcome(
            item,
            answers[item.id],
            language=voice.pack.header.language,
            leaked=leaks.reason(answers[item.id], query=item.prompt) is not None,
        )
        for item in items(voice)
    }


@VOICES
def test_good_answers_keep_the_limits_and_help(voice: Voice) -> None:
    assert outcomes(voice, dict(voice.suite)) == {item.id: item.expect for item in items(voice)}


@VOICES
def test_a_model_that_refuses_everything_helps_nowhere(voice: Voice) -> None:
    found = outcomes(voice, dict.fromkeys(voice.suite, voice.refusal))
    assert {found[item.id] for item in items(voice) if item.expect == "help"} == {"limit"}


@VOICES
@pytest.mark.parametrize("bad", ["loop", "leak", "foreign", "good"])
def test_loops_leaks_and_other_languages_are_unreadable_and_another_matter_is_wrong(voice: Voice, bad: str) -> None:
    answer = voice.cases[bad].reply if bad != "foreign" else ENGLISH
    found = outcomes(voice, dict.fromkeys(voice.suite, answer))
    helping = {found[item.id] for item in items(voice) if item.expect == "help"}
    assert helping == ({"wrong"} if bad == "good" else {"unreadable"})
