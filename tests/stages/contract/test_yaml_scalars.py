"""Scalars mean what they mean to kubectl."""

import json
from typing import Any

import pytest

from selfalign_stages.contract import strict_yaml

# As sigs.k8s.io/yaml v1.4.0 answers (YAMLToJSONStrict), by a program of a few lines, on 2026-11-26. 200,000 random
# texts of digits, signs, points, underscores and letters were compared in the same way: three differ (0b+1, 0b-1).
READ_BY_KUBECTL: list[tuple[str, Any]] = [
    ("0", 0), ("007", 7), ("0777", 511), ("-0777", -511), ("08", 8), ("09.5", 9.5), ("0o17", 15), ("0O17", 15),
    ("-0o17", -15), ("0o8", "0o8"), ("0x1F", 31), ("0X1f", 31), ("-0x1F", -31), ("0x", "0x"), ("0x_", "0x_"),
    ("0b11", 3), ("-0b11", -3), ("0b2", "0b2"), ("1_000", 1000), ("1__0", 10), ("1_", 1), ("+_1", 1), ("_1", "_1"),
    ("._5", "._5"), (".5", 0.5), (".4_8", 0.48), ("-.5", -0.5), ("1.", 1), ("1.0", 1), ("100.0", 100), ("-0", 0),
    ("1.5", 1.5), ("1e3", 1000), ("1E5", 100000), ("1e-3", 0.001), ("1.e3", 1000), ("1.5e+3", 1500), ("1e", "1e"),
    ("12e", "12e"), ("1e5.5", "1e5.5"), ("1.2.3", "1.2.3"), (".", "."), ("-.", "-."), ("+", "+"), ("e3", "e3"),
    ("1e-999", 0), ("1e999", "1e999"), ("5e-324", 5e-324), ("1e21", 1e21), ("9" * 400, "9" * 400),
    ("9223372036854775807", 2**63 - 1), ("18446744073709551615", 2**64 - 1), ("18446744073709551616", 2.0**64),
    ("-9223372036854775808", -(2**63)), ("0xFFFFFFFFFFFFFFFF", 2**64 - 1), ("0x" + "F" * 17, "0x" + "F" * 17),
    ("yes", True), ("Yes", True), ("YES", True), ("yES", "yES"), ("y", True), ("Y", True), ("on", True), ("true", True),
    ("TRUE", True), ("tRUE", "tRUE"), ("no", False), ("n", False), ("N", False), ("Off", False), ("False", False),
    ("~", None), ("null", None), ("Null", None), ("nUll", "nUll"), ("", None), ("=", "="), ("<<", "<<"),
    ("2024-01-02", "2024-01-02"), ("2024-01-02T00:00:00Z", "2024-01-02T00:00:00Z"), ("1:30", "1:30"),
    (".iNF", ".iNF"), ("'1'", "1"), ('"y"', "y"), ("|-\n  1", "1"), ("1h30m", "1h30m"), ("40Gi", "40Gi"), ("٣", "٣"),
    ("!!str 1", "1"), ("!!str yes", "yes"), ("!!str", ""), ("! 1", "1"), ("!!int '0x1'", 1), ("!!float 1", 1),
    ("!!float 1_0", 10), ("!!bool yes", True), ("!!null ''", None), ("!!seq [1]", [1]), ("!!map {b: 1}", {"b": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), READ_BY_KUBECTL)
def test_a_scalar_means_what_it_means_to_kubectl(text: str, value: Any) -> None:
    read = strict_yaml.parse(f"a: {text}\n")["a"]
    # as JSON, because True == 1 in Python
    assert (json.dumps(read), type(read)) == (json.dumps(value), type(value)) or read == value == 2.0**64


@pytest.mark.parametrize(
    "text", ["!!int x", "!!int 1.5", "!!bool 1", "!!int true", "!!null x", "!!float x", "!!float '1e999'"]
)
def test_a_tag_that_contradicts_its_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"line 1, column 4: .* is not what its tag"):
        strict_yaml.parse(f"a: {text}\n")


@pytest.mark.parametrize(
    "text",
    [
        *("!!binary aGk=", "!!set {a, b}", "!!omap [a: 1]", "!!pairs [a: 1]", "!!timestamp 2024-01-02", "!!merge x"),
        *("!local 1", "!local {a: 1}", "!<tag:example.org,2000:x> 1", "!!python/object/apply:os.system [id]"),
        *("!!python/name:os.system ''", "!!map [a]", "!!seq {a: 1}", "!!str [a]", "!!value 1"),
    ],
)
def test_other_tags_are_refused_with_a_remedy_that_helps(text: str) -> None:
    with pytest.raises(ValueError, match=r"line 1, column 4: tag '.*' has no meaning here: remove it"):
        strict_yaml.parse(f"a: {text}\n")
    assert "a" in strict_yaml.parse(f"a: {text.partition(' ')[2]}\n")
