"""The operator's own parser of quantities agrees with the Kubernetes client's, and refuses what Kubernetes refuses."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfalign_operator.api.quantity import parse_quantity

client = pytest.importorskip("kubernetes.utils.quantity")


def reference(quantity: str | int) -> Decimal:
    """The client's result, without the rounding to 28 digits of the default context, which Kubernetes does not do."""
    with localcontext(prec=100):
        return Decimal(client.parse_quantity(quantity))


SUFFIXES = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
numbers = st.from_regex(r"[0-9]{1,12}(\.[0-9]{0,9})?|\.[0-9]{1,9}", fullmatch=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("number", ["0", "1", "7", "2.5", ".5", "3.", "007", "123456789"])
def test_every_suffix_has_the_reference_value(number: str, suffix: str) -> None:
    assert parse_quantity(f"{number}{suffix}") == reference(f"{number}{suffix}")


@settings(deadline=None)
@given(numbers, st.sampled_from(SUFFIXES))
def test_decimals_with_suffixes_have_the_reference_value(number: str, suffix: str) -> None:
    assert parse_quantity(f"{number}{suffix}") == reference(f"{number}{suffix}")


@settings(deadline=None)
@given(numbers, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), st.integers(0, 30))
def test_decimal_exponents_have_the_reference_value(number: str, letter: str, sign: str, exponent: int) -> None:
    quantity = f"{number}{letter}{sign}{exponent}"
    assert parse_quantity(quantity) == reference(quantity)


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1))
def test_whole_numbers_are_quantities(number: int) -> None:
    assert parse_quantity(number) == reference(number) == Decimal(number)


@pytest.mark.parametrize(
    "text", ["", " ", "m", "Gi", ".", "1GB", "1gi", "1kk", "1Gim", "1e", "1.2.3", "0x10", "1,5", "one"]
)
def test_malformed_quantities_are_refused(text: str) -> None:
    for parse in (reference, parse_quantity):
        with pytest.raises(ValueError):
            parse(text)


@pytest.mark.parametrize(
    "text",
    [" 1", "1\n", "1 Gi", "1K", "1e3Gi", "1_000", "NaN", "Infinity", "1\N{FULLWIDTH DIGIT ONE}"]
    + ["\N{ARABIC-INDIC DIGIT ONE}"],
)
def test_what_the_api_server_refuses_and_the_client_does_not_is_refused(text: str) -> None:
    """The client parses numbers with Decimal, which is more lenient than the grammar of resource.Quantity."""
    reference(text)
    with pytest.raises(ValueError):
        parse_quantity(text)


@pytest.mark.parametrize("quantity", ["-1", "-0.5", "-1Gi", "-1e3", "-.5m", -1])
def test_negative_quantities_are_refused(quantity: str | int) -> None:
    assert reference(quantity) < 0
    with pytest.raises(ValueError):
        parse_quantity(quantity)


@pytest.mark.parametrize(
    "quantity", ["1e999999999", "1e100", "1" * 20, f"0.{'1' * 20}", 2**63, -1, "1\n", "\u0661", ""]
)
def test_what_would_take_unbounded_memory_is_no_quantity(quantity: str | int) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(quantity)
