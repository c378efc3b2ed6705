"""Strict YAML: documents, keys, merges, and the limits that hold before anything is expanded."""

import pytest

from selfalign_stages.contract import strict_yaml
from selfalign_stages.contract.strict_json import MAX_DEPTH

BASE = "base: &b {a: 1, b: 2}\nmore: &m {c: 3}\n"


def refused(text: str) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        strict_yaml.parse(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("merged", "value"),
    [
        ("{<<: *b, d: 4}", {"a": 1, "b": 2, "d": 4}),
        ("{d: 4, <<: [*b, *m]}", {"d": 4, "a": 1, "b": 2, "c": 3}),
        ("{<<: *b, <<: *m}", {"a": 1, "b": 2, "c": 3}),
        ("{<<: {<<: *b, d: 4}}", {"a": 1, "b": 2, "d": 4}),
        ("{!!merge <<: *b}", {"a": 1, "b": 2}),
        ("{'<<': *b}", {"<<": {"a": 1, "b": 2}}),
    ],
)
def test_merges_add_the_keys_of_other_mappings(merged: str, value: object) -> None:
    assert strict_yaml.parse(f"{BASE}x: {merged}\n")["x"] == value


def test_a_merge_leaves_the_merged_mapping_as_it_is() -> None:
    assert strict_yaml.parse(BASE + "x: {<<: *b, d: 4}\n")["base"] == {"a": 1, "b": 2}


@pytest.mark.parametrize("merged", ["{<<: *b, a: 9}", "{a: 9, <<: *b}", "{<<: [*b, {b: 9}]}"])
def test_a_key_of_both_sides_of_a_merge_is_a_duplicate(merged: str) -> None:
    """As in kubectl, which converts strictly; YAML 1.1 itself would let the explicit key win."""
    message = refused(f"{BASE}x: {merged}\n")
    assert "duplicate key" in message and "keep one of them" in message and message.startswith("line 3, column")


@pytest.mark.parametrize("value", ["1", "null", "[1]", "text", "[[*b]]"])
def test_only_mappings_are_merged(value: str) -> None:
    assert "<< merges mappings" in refused(f"{BASE}x: {{<<: {value}}}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "line 2, column 1: duplicate key 'a': keep one of them"),
        ("1: a", "line 1, column 1: key 1 is not text: put it in quotes"),
        ("? [a]\n: b", "key list is not text"),
        ("? {a: b}\n: c", "key dict is not text"),
        ("y: 1", "key True is not text: put it in quotes"),
        ("a: *x", "line 1, column 4: alias *x has no anchor &x before it"),
        ("a: &x [*x]", "line 1, column 8: alias *x contains itself"),
        ("a: &x {b: {<<: *x}}", "alias *x contains itself"),
        (
            "a:\tb",
            "line 1, column 3: found character '\\t' that cannot start any token: indent and separate with blanks",
        ),
        ("%YAML 1.3\n---\na: 1", "%YAML directives of other versions than 1.1: remove the line"),
        ('a: "\\ud800"', "line 1, column 4: \\ud800 is half of a surrogate pair"),
        ("a: \ud800", "line 1, column 4: \\ud800 is half of a surrogate pair"),
        ('a: "\\UFFFFFFFF"', "an escape stands for no character"),
        ("a:\n  - b\x00", "line 2, column 6: the character U+0000 is not allowed in YAML"),
        ("a: 1\n--- \nb: 2", "one document is expected, there are 2"),
        ("# nothing\n", "one document is expected, there are 0"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, message: str) -> None:
    assert message in refused(text)


@pytest.mark.parametrize(
    "text", ["\ufeffa: 1", "--- \na: 1\n...\n", "a: 1\n---\n", "---\n---\na: 1", '{"a": 1}', "a: 1\r\n"]
)
def test_marks_and_empty_documents_around_a_document_are_ignored(text: str) -> None:
    assert strict_yaml.parse(text) == {"a": 1}


def test_a_surrogate_pair_in_escapes_is_one_character_as_in_json() -> None:
    assert strict_yaml.parse('"\\ud83d\\ude00"') == "😀"


def test_an_anchor_can_be_defined_again() -> None:
    assert strict_yaml.parse("[&x 1, *x, &x 2, *x]") == [1, 1, 2, 2]


@pytest.mark.parametrize(
    "text",
    [
        # a billion laughs, as a list, as mappings, as merges, and of one long text
        "\n".join(["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]),
        "\n".join(
            ["a0: &a0 {x: y}"]
            + [f"a{n}: &a{n} {{{', '.join(f'k{i}: *a{n - 1}' for i in range(10))}}}" for n in range(1, 12)]
        ),
        "a: &a {"
        + ", ".join(f"k{n}: 1" for n in range(1000))
        + "}\n"
        + "\n".join(f"b{n}: {{<<: *a}}" for n in range(200)),
        "a: &a " + "x" * 10_000 + "\nb: [" + "*a, " * 1000 + "]",
    ],
    ids=["lists", "mappings", "merges", "text"],
)
def test_aliases_that_multiply_are_refused_before_they_are_expanded(text: str) -> None:
    assert "because aliases multiply: write the values out" in refused(text)


def test_values_and_characters_are_limited_without_aliases_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "shorten the file" in refused("#" * (strict_yaml.MAX_CHARACTERS + 1))
    monkeypatch.setattr(strict_yaml, "MAX_VALUES", 1000)
    assert len(strict_yaml.parse("[" + "1," * 999 + "]")) == 999
    assert "more than 1000 values" in refused("[" + "1," * 1000 + "]")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")])
def test_depth_is_limited(opening: str, closing: str) -> None:
    message = refused(opening * 10_000)
    assert f"nested in more than {MAX_DEPTH} levels" in message
    if closing:
        assert strict_yaml.parse(opening * MAX_DEPTH + closing * MAX_DEPTH) is not None
