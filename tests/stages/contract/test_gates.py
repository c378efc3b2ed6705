"""Gate expressions: what they compare, and messages for those that are malformed or name what a run lacks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfalign_stages.contract import gates

VALUES = {
    "base.hhh.overall": 0.5,
    "cloned.hhh.overall": 0.6,
    "cloned.adherence.words": 30.0,
    "engraved.adherence.words": 15.0,
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("cloned.hhh.overall >= base.hhh.overall + 0.05", True),
        ("cloned.hhh.overall >= base.hhh.overall + 0.2", False),
        ("cloned.adherence.words >= 1.5 * engraved.adherence.words", True),
        ("cloned.adherence.words > engraved.adherence.words * 2", False),
        ("cloned.hhh.overall - base.hhh.overall > 0.05", True),
        ("-0.1 < base.hhh.overall", True),
        ("base.hhh.overall <= 0.5", True),
        ("base.hhh.overall<0.5", False),
    ],
)
def test_a_gate_compares_two_sums(text: str, holds: bool) -> None:
    assert gates.parse(text).check(VALUES) is holds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "exactly one"),
        ("1 >= 0", "names? at least one metric|name at least one metric"),
        ("a.b.c", "exactly one"),
        ("base.hhh.overall >= >= 1", "exactly one"),
        ("base.hhh.overall >=", "ends where"),
        ("base.hhh.overall >= __import__", "expected a number"),
        ("base.hhh.overall * base.hhh.overall > 1", "cannot be multiplied"),
        ("base.hhh > 1", "expected a number"),
        ("base.hhh.overall 3 > 1", r"expected \+ or -"),
    ],
)
def test_the_message_for_a_malformed_gate_names_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gates.parse(text)


@given(st.text(alphabet="abc.>=<+-*0123456789 ", max_size=30))
def test_any_text_is_a_gate_or_a_value_error(text: str) -> None:
    try:
        assert gates.parse(text).operands
    except ValueError as error:
        assert str(error)


def test_what_the_run_will_not_have_is_named() -> None:
    gate = gates.parse("cloned.hhh.mc1 > base.vicuna.overall")
    messages = gates.unknown(gate, suites={"hhh": "hhh"}, variants=["base", "engraved"])
    assert [message.split(":")[0] for message in messages] == [
        "cloned.hhh.mc1",
        "cloned.hhh.mc1",
        "base.vicuna.overall",
    ]
