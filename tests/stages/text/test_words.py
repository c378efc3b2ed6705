"""Words in any script: with their marks, in one form, and one per character where no blanks are written."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from selfalign_stages.text import prompt_filters, rouge
from selfalign_stages.text.loops import ends_in_loop
from selfalign_stages.text.spelling import caseless, one_spelling
from selfalign_stages.text.words import identifiers, length, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The read_file of 2 BOOKS.", ["the", "read", "file", "of", "2", "books"]),
        ("Zo\u00eb l'\u00c9t\u00e9", ["zo\u00eb", "l", "\u00e9t\u00e9"]),
        ("Zoe\u0308", ["zo\u00eb"]),  # the same name, decomposed
        ("हिन्दी में लिखो", ["हिन्दी", "में", "लिखो"]),
        ("كَيْفَ حالُك؟", ["كيف", "حالك"]),
        ("你好，世界", ["你", "好", "世", "界"]),
        ("ひらカタ", ["ひ", "ら", "カ", "タ"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("GPU很快", ["gpu", "很", "快"]),
        ("ＧＰＵ１２", ["gpu12"]),  # of double width
        ("كِتـــاب أحمد إلى الحديقة ١٧", ["كتاب", "احمد", "الي", "الحديقه", "17"]),
        ("كتا\u200fب", ["كتاب"]),  # with a mark of direction
        ("می\u200cروم", ["ميروم"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("", []),
    ],
)
def test_words_are_letters_with_their_marks(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Write a haiku", 3),
        ("Don\u2019t go there", 3),
        ("写一首诗", 3),
        ("为什么？", 2),
        ("请写一首关于春天的诗", 7),
        ("日本の首都はどこですか", 6),
        ("GPU很快", 2),
        ("ทำไมน้ำถึงเดือด", 4),
        ("¿Qué hora es?", 3),
        ("ما اسمك؟", 2),
        ("", 0),
    ],
)
def test_length_counts_words_and_for_scripts_without_blanks_fractions_of_them(text: str, number: int) -> None:
    assert length(text) == number


def test_one_spelling_keeps_case_and_makes_punctuation_ascii_with_its_blank() -> None:
    assert one_spelling("不行。为什么？好，Ａ") == "不行. 为什么? 好, A"
    assert one_spelling("لماذا؟") == "لماذا?"
    assert one_spelling("“Ｉ” can’t") == "“I” can’t"


@given(st.text() | st.text(st.characters(min_codepoint=0x600, max_codepoint=0xFFFF)))
@example("".join(map(chr, [*range(0x600, 0x700), *range(0xFB50, 0xFFF0)])))
def test_one_spelling_is_stable(text: str) -> None:
    assert one_spelling(one_spelling(text)) == one_spelling(text)
    assert caseless(caseless(text)) == caseless(text)


def test_an_identifier_is_one_word_where_underscores_count() -> None:
    assert identifiers("read_file(naïve_name)") == ["read_file", "naïve_name"]


@given(st.text())
def test_any_text_has_words_that_are_words(text: str) -> None:
    for found in (words(text), identifiers(text)):
        assert all(word and not word.isspace() for word in found)


def test_unlike_questions_in_hindi_are_no_duplicates_and_like_ones_are() -> None:
    first, other = "दिल्ली में मौसम कैसा है?", "पानी क्यों उबलता है?"
    assert rouge.rouge_l(first, other) < 0.5
    assert rouge.rouge_l(first, "दिल्ली में मौसम कैसा रहा है?") > 0.7


def test_near_duplicates_and_loops_are_recognised_without_blanks() -> None:
    assert rouge.rouge_l("请写一首关于春天的诗", "请写一首关于秋天的诗") > 0.7
    assert rouge.rouge_l("请写一首关于春天的诗", "为什么水会结冰") < 0.3
    assert ends_in_loop("这是答案。" + "我们去公园玩吧" * 5)
    assert not ends_in_loop("我们去公园玩吧，然后回家吃饭。")


@pytest.mark.parametrize(
    "question", ["请写一首关于春天的诗", "日本の首都はどこですか", "ทำไมน้ำถึงเดือด", "لماذا السماء زرقاء؟"]
)
def test_a_question_without_blanks_is_not_too_short(question: str) -> None:
    assert prompt_filters.reject_reason(question, language="en") is None
