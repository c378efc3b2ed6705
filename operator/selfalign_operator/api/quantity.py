"""Kubernetes resource quantities, such as 500m, 40Gi or 1e3, as exact numbers. Pure.

Exact, because CPU limits are rounded up to whole threads, where a float's last bit could add one. Parsed here, because
planning must work without a Kubernetes client, which a laptop does not install; a test compares the results with those
of `kubernetes.utils.quantity`.
"""

import re
from decimal import Context, Decimal

QUANTITY_PATTERN = (
    r"^([0-9]{1,19}(\.[0-9]{0,19})?|\.[0-9]{1,19})(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][-+]?[0-9]{1,2})?$"
)
"""The quantity grammar (apimachinery, resource.Quantity) with bounds, and without a sign: no resource is negative.

Kubernetes caps what is above 2^63 - 1 (19 digits). An exponent without a bound, such as 1e999999999, would be a valid
quantity that takes gigabytes of memory to write out.
"""
LARGEST_INTEGER = 2**63 - 1
"""Of a quantity without quotes, which JSON Schema checks as a number (apimachinery, IntOrString and int64)."""
_EXACT = Context(prec=100)
"""Decimals of up to 38 digits times 2^60 have at most 57 digits; the default context would round them to 28."""

FACTORS = (
    {"": Decimal(1), "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3")}
    | {suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)}
    | {f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)}
)
"""What a suffix multiplies by: decimal and binary SI prefixes."""


def parse_quantity(quantity: str | int) -> Decimal:
    """Parses a quantity into a number in the resource's unit (cores, bytes, devices).

    Raises:
        ValueError: `quantity` does not match the grammar, or is negative.
    """
    if isinstance(quantity, int) and quantity > LARGEST_INTEGER:
        raise ValueError("an integer beyond 64 bits is not a quantity")
    text = str(quantity)
    match = re.fullmatch(QUANTITY_PATTERN, text)
    if match is None:
        raise ValueError(f"{text[:60]!r} is not a quantity")
    number, suffix = match.group(1), match.group(3) or ""
    # "E" and "Ei" are exa and exbi; "e3" and "E3" are exponents of ten
    if suffix[:1] in ("e", "E") and suffix != "E" and suffix != "Ei":
        return Decimal(f"{number}{suffix}")
    return _EXACT.multiply(Decimal(number), FACTORS[suffix])
