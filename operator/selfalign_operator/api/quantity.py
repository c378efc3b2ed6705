"""Kubernetes resource quantities, such as 500m, 40Gi or 1e3, as exact numbers. Pure.

Exact, because CPU limits are rounded up to whole threads, where a float's last bit could add one. Parsed here, because
planning must work without a Kubernetes client, which a laptop does not install; a test compares the results with those
of `kubernetes.utils.quantity`.
"""

import re
from decimal import Decimal

QUANTITY_PATTERN = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][-+]?[0-9]+)?$"
"""The quantity grammar (apimachinery, resource.Quantity) without a sign: no resource is negative."""

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
    text = str(quantity)
    match = re.fullmatch(QUANTITY_PATTERN, text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity")
    number, suffix = match.group(1), match.group(3) or ""
    # "E" and "Ei" are exa and exbi; "e3" and "E3" are exponents of ten
    if suffix[:1] in ("e", "E") and suffix != "E" and suffix != "Ei":
        return Decimal(f"{number}{suffix}")
    return Decimal(number) * FACTORS[suffix]
