"""Strict JSON: what is accepted as `json` accepts it, and what is refused with the place in the file."""

import json
from typing import Any

import pytest

from selfalign_stages.contract.strict_json import MAX_DEPTH, MAX_DIGITS, loads

VALID: list[Any] = [None, True, -7, 10**400, 1e-300, "", "é\u2028😀", [], {}, {"a": [{"b": [[1.5, "[{"]]}]}]


@pytest.mark.parametrize("value", VALID, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_what_json_writes_is_read_back(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert loads(text) == loads(text.encode()) == value


def test_a_byte_order_mark_is_skipped() -> None:
    assert loads(b'\xef\xbb\xbf{"a": 1}') == loads('\ufeff{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "line 1, column 1: not JSON: Expecting value"),
        ('{"a": 1,\n "b" 2}', "line 2, column 6: not JSON"),
        ('{"a": [1,\n  NaN]}', "line 2, column 3: NaN is no JSON value"),
        ('["NaN", -Infinity]', "line 1, column 9: -Infinity is no JSON value"),
        ('{"a": 1, "b": {"c": 2, "c": 2}}', "duplicate key 'c': keep one of them"),
        ("[1e999]", "line 1, column 2: 1e999 is out of range"),
        ("[" + "7" * (MAX_DIGITS + 1) + "]", f"line 1, column 2: an integer of {MAX_DIGITS + 1} characters"),
        (r'{"a": "\ud800"}', r"\ud800 is half of a surrogate pair"),
        (r'{"\uDfff": 1}', r"\udfff is half of a surrogate pair"),
        ('"x\ud83d"', r"line 1, column 3: \ud83d is half of a surrogate pair"),
        (b'"\xff"', "not UTF-8 at byte 1: save it as UTF-8"),
        ('"a"'.encode("utf-16"), "not UTF-8 at byte 0: save it as UTF-8"),
        ('{"a": 1}\x00', "line 1, column 9: not JSON: Extra data"),
        ('"' * 100_000, "not JSON"),
        ('"\\' * 100_000, "not JSON"),
        ("-" * 100_000, "not JSON"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_is_named_with_its_place(data: bytes | str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        loads(data)
    assert message in str(caught.value)


@pytest.mark.parametrize("bracket", ["[", '{"a":'])
def test_depth_is_limited_before_the_parser_recurses(bracket: str) -> None:
    closing = {"[": "]", '{"a":': "}"}[bracket]
    deepest = bracket * MAX_DEPTH + "1" + closing * MAX_DEPTH
    assert loads(deepest) is not None
    for text in (f"[{deepest}]", bracket * 100_000, f'["[[[\\"", {deepest}]'):
        with pytest.raises(ValueError, match=r"line 1, column \d+: nested in more than 100 levels"):
            loads(text)


def test_brackets_in_texts_are_not_depth() -> None:
    assert loads(json.dumps({"a": '["' * 1000})) == {"a": '["' * 1000}


def test_a_line_of_a_longer_file_is_named_by_its_number() -> None:
    with pytest.raises(ValueError, match=r"^line 7, column 2: not JSON"):
        loads("[", line=7)
