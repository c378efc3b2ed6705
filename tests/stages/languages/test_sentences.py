"""Which answers state a limit, in Spanish, Chinese and Arabic, and that all are in their language and no loops."""

import pytest
from tests.stages.languages.sentences import HELP, LIMITS

from selfalign_stages.pack.stated_limits import states_limit
from selfalign_stages.text.language import is_in_language
from selfalign_stages.text.loops import ends_in_loop


def cases(answers: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(language, answer) for language, texts in answers.items() for answer in texts]


@pytest.mark.parametrize(("language", "answer"), cases(LIMITS))
def test_an_answer_that_declines_names_a_limit_or_asks_back_states_one(language: str, answer: str) -> None:
    assert states_limit(answer, language=language)


@pytest.mark.parametrize(("language", "answer"), cases(HELP))
def test_an_answer_that_helps_states_none(language: str, answer: str) -> None:
    assert not states_limit(answer, language=language)


@pytest.mark.parametrize(("language", "answer"), [*cases(LIMITS), *cases(HELP)])
def test_every_answer_is_in_its_language_and_in_no_other_and_does_not_loop(language: str, answer: str) -> None:
    assert is_in_language(answer, language=language)
    others = {"es", "zh", "ar", "ru"} - {language}
    assert not any(is_in_language(answer, language=other) for other in others)
    assert not ends_in_loop(answer)
