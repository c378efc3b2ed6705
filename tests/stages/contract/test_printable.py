"""What is printed shows every character that it contains, and carries out none."""

import json
import logging
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfalign_stages.contract.printable import printable, printable_json
from selfalign_stages.contract.task import Failure, PreflightResult, Problem
from selfalign_stages.step.log_lines import PrintableFormatter

DANGEROUS = "\x00\x07\x08\x1b\x7f\x80\x9b\n\r\t\u00ad\u061c\u200b\u200d\u200e\u200f\u2028\u2029\u202a\u202e\u2060\u2066"
DANGEROUS += "\u2069\ufeff\ufff9\U000e0001\U000e0041\u3164\U000e0100\ud800\ue000"


@pytest.mark.parametrize("character", DANGEROUS, ids=lambda character: f"U+{ord(character):04X}")
def test_a_character_that_nobody_sees_is_escaped(character: str) -> None:
    shown = printable(f"a{character}b")
    assert shown.isascii() and shown.isprintable() and shown[:2] == "a\\" and shown[-1] == "b"


def test_escapes_are_those_of_python() -> None:
    assert printable("\x1b[31m\u202egnp\U000e0041\n") == r"\x1b[31m\u202egnp\U000e0041\n"


@pytest.mark.parametrize(
    "text", ["", "plain", "größer → 42 %", "你好　世界", "نص", "👍️", "C:\\new", "1 000 €", "[red]"]
)
def test_text_of_any_language_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@given(st.text(st.characters()))
def test_applied_twice_it_changes_nothing_more(text: str) -> None:
    shown = printable(text)
    assert printable(shown) == shown
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in shown)


texts = st.text(st.characters(), max_size=8)


@settings(deadline=None, max_examples=50)
@given(st.recursive(texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner), max_leaves=5))
def test_json_is_ascii_and_reads_back(value: object) -> None:
    text = printable_json(value)
    assert text.isascii() and all(character.isprintable() or character == "\n" for character in text)
    assert json.loads(text) == value


def test_messages_of_a_status_are_printable_from_the_start() -> None:
    """kubectl prints conditions and events as they are."""
    hostile = "file \x1b]0;owned\x07\u202e\nAll good"
    escaped = r"file \x1b]0;owned\x07\u202e\nAll good"
    assert Failure(reason="BadInput", message=hostile).message == escaped
    assert PreflightResult(warnings=(hostile,)).warnings == (escaped,)
    problem = Problem(field=f"spec.{hostile}", value={hostile: 1}, message=hostile)
    assert problem.line == printable(problem.line) and problem.line.count(r"\u202e") == 3
    assert Problem.model_validate(problem.to_dict()) == problem


def test_a_log_record_is_one_line_and_its_traceback_keeps_its_lines() -> None:
    try:
        raise ValueError("bad\x1b[2J")
    except ValueError as error:
        caught = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "read %s", ("a\nERROR forged\u202e",), caught)
    first, *rest = PrintableFormatter("%(levelname)s %(message)s").format(record).split("\n")
    assert first == r"ERROR read a\nERROR forged\u202e"
    assert rest[0].startswith("Traceback") and rest[-1] == r"ValueError: bad\x1b[2J"
