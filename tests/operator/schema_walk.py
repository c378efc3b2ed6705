"""Walks a JSON schema, and checks the descriptions in it for the tests of the CRD and of the chart's values."""

import re
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

SHORTEST_DESCRIPTION = 4
"""Fewest words of a description that can tell more than its field's name."""
DIALECT = re.compile(
    r"\b(told|tells?|found|held|seen|looks?|looked|looking|world|pace|whoever|wants?|wanted|minds?|anew|asked|lies|stands|"
    r"things?|we|our|its highest value|part of the probability|the last word)\b",
    re.IGNORECASE,
)
"""Words of early field descriptions that only readers of this project's history understood, and personal pronouns."""


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yields every schema at any depth by its path, list items and map values included."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}.{key}")


def faults(description: str | None) -> list[str]:
    """What keeps a description from being a sentence that a stranger understands."""
    if description is None:
        return ["has no description"]
    checks = {
        f"has fewer than {SHORTEST_DESCRIPTION} words": len(description.split()) < SHORTEST_DESCRIPTION,
        "does not begin with a capital letter": not description[:1].isupper(),
        "does not end with a full stop": not description.endswith("."),
    }
    dialect = [f"uses the word {match.group()!r}" for match in DIALECT.finditer(description)]
    return [fault for fault, present in checks.items() if present] + dialect
