"""Loops, refusals and instruction filters: text that must be rejected, and good text that must pass."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfalign_stages.text.loops import ends_in_loop
from selfalign_stages.text.prompt_filters import reject_reason
from selfalign_stages.text.refusals import OPENINGS, refuses

CODE = "for i in range(3):\n    print(i)\nfor j in range(3):\n    print(j)\nfor k in range(3):\n    print(k)\n"
HOWEVER = "It is cheap. However, it is slow. It is small. However, it is loud. However, some people like it."
REFRAIN = "They sang: " + "merrily we roll along, " * 3
LIST = "1. Buy bread.\n2. Buy milk.\n3. Buy cheese.\n4. Buy apples.\n5. Buy nuts."


@pytest.mark.parametrize("text", [CODE, HOWEVER, REFRAIN, LIST, "", "one", "((((((((((((((((", "no no no"])
def test_good_repetition_is_no_loop(text: str) -> None:
    assert not ends_in_loop(text)


@pytest.mark.parametrize(
    "text", ["I see. " + "and so on and so forth " * 5, "The cat sat. " * 6, "yes " * 14, "Start\n" + "- a b c d\n" * 5]
)
def test_a_loop_at_the_end_is_detected(text: str) -> None:
    assert ends_in_loop(text)


@given(st.text())
def test_any_text_gets_a_verdict(text: str) -> None:
    assert ends_in_loop(text) in (True, False)
    assert refuses(text, language="en") in (True, False)


@pytest.mark.parametrize(
    "answer", ["I'm sorry, but no.", "Sorry, I cannot do this", "I cannot help with that.", "As an AI, I have no view."]
)
def test_canned_refusals_are_detected(answer: str) -> None:
    assert refuses(answer, language="en")


@pytest.mark.parametrize(
    "answer", ["The sorry state of the bridge ...", "You cannot help but smile.", "A lemon is yellow."]
)
def test_the_word_sorry_alone_is_no_refusal(answer: str) -> None:
    assert not refuses(answer, language="en")


@pytest.mark.parametrize(
    ("instruction", "reason"),
    [
        ("Name birds", "too-short"),
        ("Name three birds.\n### Juniper\nA wren.", "marker"),
        ("Name three birds (internal thoughts)", "marker"),
        ("## Example 7 Name three birds", "marker"),
        ("Name three birds<|endoftext|> of prey", "marker"),
        ("Name three birds of prey </s>", "marker"),
        ("\u201cName three birds of prey\u201d, he said", None),
        ("«Quel oiseau est-ce ?», dit-il", None),
        ("word " * 151, "too-long"),
        ("Draw a tree with many leaves", "beyond-text"),
        ("Describe the pictures below in detail", "beyond-text"),
        ("!! tell me something nice", "bad-start"),
        ("Tell me\x07 something nice", "control-characters"),
        ("Name three birds of prey", None),
        ("Назови трёх хищных птиц", None),
        ("¿Qué hora es en Lima?", None),
        ("Explain withdrawals from a bank", None),
    ],
)
def test_instructions_are_filtered_by_reason(instruction: str, reason: str | None) -> None:
    assert reject_reason(instruction, language="en") == reason


@pytest.mark.parametrize(
    ("instruction", "language", "reason"),
    [
        ("Dibuja un mapa de tu barrio", "es", "beyond-text"),
        ("Explica qué es el dibujo técnico", "es", None),
        ("Nombra tres image formats", "es", None),  # the words of other languages do not count
        ("画一只猫给我看", "zh-Hans", "beyond-text"),
        ("动画一般有多长", "zh", None),
        ("ارسم قطة على شجرة", "ar", "beyond-text"),
        ("اشرح ذلك بصورة عامة", "ar", None),
        ("Dessine une carte de ton quartier", "fr", None),
        ("\u200fاكتب قصيدة قصيرة", "ar", None),
        ("（上海）今天有什么新闻", "zh", None),
        ("字" * 226, "zh", "too-long"),
        ("字" * 224, "zh", None),
    ],
)
def test_instructions_are_filtered_by_the_words_of_their_language(
    instruction: str, language: str, reason: str | None
) -> None:
    assert reject_reason(instruction, language=language) == reason


def test_the_input_is_filtered_like_the_instruction() -> None:
    assert reject_reason("Sort these words for me", "music, bread", language="en") == "beyond-text"


DECLINING = {
    "en": ("I\u2019m sorry, I can\u2019t help.", "I cannot help but admire it? No: a lemon is yellow."),
    "es": ("Lo siento, no puedo ayudar con eso.", "La sierra no puede cortar metal."),
    "fr": ("D\u00e9sol\u00e9, je ne peux pas vous aider.", "Il ne peut pas pleuvoir au d\u00e9sert chaque jour."),
    "de": ("Es tut mir leid, dabei kann ich nicht helfen.", "Leider regnet es in London oft."),
    "it": ("Mi dispiace, non posso aiutarti.", "Il gatto non pu\u00f2 volare."),
    "pt": ("Desculpe, n\u00e3o posso ajudar com isso.", "O gato n\u00e3o sabe voar."),
    "nl": ("Helaas kan ik dat niet doen.", "De kat kan niet vliegen."),
    "ru": ("Извините, я не могу помочь.", "Кошка не может летать."),
    "zh": ("抱歉，我无法帮助您。", "猫不能飞，但是可以跳。"),
    "ja": ("申し訳ありませんが、お答えできません。", "猫は空を飛べません。"),
    "ko": ("죄송하지만 도와드릴 수 없습니다.", "고양이는 날 수 없습니다."),
    "ar": ("آسف، لا أستطيع مساعدتك في ذلك.", "القطة لا تطير."),
    "hi": ("क्षमा करें, मैं इसमें मदद नहीं कर सकता।", "बिल्ली उड़ नहीं सकती।"),
    "th": ("ขอโทษ ฉันไม่สามารถช่วยได้", "แมวบินไม่ได้"),
    "tr": ("\u00dczg\u00fcn\u00fcm, bu konuda yard\u0131mc\u0131 olamam.", "Kedi u\u00e7amaz."),
    "pl": ("Przepraszam, nie mog\u0119 pom\u00f3c.", "Kot nie potrafi lata\u0107."),
}


@pytest.mark.parametrize("language", sorted(OPENINGS))
def test_refusals_are_recognised_in_their_own_words_and_plain_answers_are_none(language: str) -> None:
    declining, plain = DECLINING[language]
    assert refuses(declining, language=language) and refuses(declining, language=f"{language}-XX")
    assert refuses("I'm sorry, I cannot help.", language=language), "models decline in English in any language"
    if language != "en":
        assert not refuses(plain, language=language)
