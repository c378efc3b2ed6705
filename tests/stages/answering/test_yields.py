"""The shares by which the check before training judges the answers, and the language of short answers."""

import pytest

from selfalign_stages.answering import yields
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.text.language import is_in_language


def answer(number: int, text: str, *, reject: str | None = None, renumbered: int = 0) -> Answer:
    prompt = Prompt(id=f"p{number}", instruction="Name a bird.", source="self-instruct")
    return Answer(
        id=prompt.id,
        prompt=prompt,
        answer=text,
        finish_reason="stop",
        tokens=3,
        reject=reject,
        renumbered=renumbered,
    )


def test_shares_are_of_all_rows_or_of_the_kept_ones() -> None:
    rows = [
        answer(0, "A gull is a bird."),
        answer(1, "a gull  is a bird.", renumbered=1),
        answer(2, "I cannot say."),
        answer(3, "Eine Möwe ist nicht der Vogel, den ich mag und sie nicht."),
        answer(4, "gull gull gull", reject="loop"),
        answer(5, "A gu", reject="cut"),
        answer(6, "A gu", reject="cut"),
        answer(7, "gull gull gull", reject="loop"),
    ]
    assert yields.shares(rows, language="en", states_limit=lambda row: "cannot" in row.answer) == {
        "keptShare": 0.5,
        "loopShare": 0.25,
        "refusalShare": 0.25,
        "distinctAnswers": 0.75,
        "languageShare": 0.75,
        "renumberedShare": 0.25,
    }


@pytest.mark.parametrize(
    ("text", "language", "inside"),
    [
        ("A gull is a bird.", "en", True),
        ("144.", "en", True),
        ("La casa es blanca.", "en", True),  # one short phrase may be a translation that was asked for
        ("El sol es una estrella y la luna es un satélite que gira.", "en", False),
        ("The sun is a star, and the moon is not.", "en-GB", True),
        ("The sun is a star, and the moon is not.", "de", False),
        ("Die Sonne ist ein Stern, und der Mond ist es nicht.", "de", True),
        ("print(*range(1, 6))", "de", True),
        ("这是一只鸟。", "zh", True),
        ("这是一只鸟。", "en", False),
        ("This is a bird that sings.", "zh", False),
        ("これは鳥です。", "ja", True),
        ("Чайка живёт у моря.", "ru", True),
        ("Lokki asuu meren rannalla.", "fi", True),
        ("Чайка живёт у моря.", "fi", False),
        ("No puedo verlo, porque no tengo internet, ni te veo en casa.", "es", True),
        ("Me gusta leer libros de historia en casa de Ana o en el tren.", "es", True),
        ("I cannot see that, because I have no internet.", "es", False),
        ("Não posso ver isso, porque não tenho uma câmera para você.", "es", False),
        ("As I said, do as you do, or as others do.", "en", True),
        ("Python 和 JavaScript 都是编程语言，很常用。", "zh", True),
        ("这是 a bird that sings in the morning.", "zh", False),
        ("القطة فوق الطاولة.", "ar", True),
        ("گربه در خانه است که آن را دوست دارم.", "ar", False),
        ("This is a bird that sings.", "ar", False),
        ("これは鳥です。", "zh", False),
        ("東京は日本の首都です。", "zh", False),
        ("東京は日本の首都です。", "ja", True),
        ("东京是日本的首都，你知道吗？", "ja", False),
        ("東京都。", "zh", True),
    ],
)
def test_an_answer_is_foreign_by_its_script_or_by_the_common_words_of_another_language(
    text: str, language: str, inside: bool
) -> None:
    assert is_in_language(text, language=language) is inside
