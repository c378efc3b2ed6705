"""What the CRD says beyond types: list keys, and rules in CEL that an API server checks by itself.

A rule on the cluster repeats a check of manifest.combinations or of a validator, as far as CEL can see it.
"""

from typing import Any

from pydantic import ConfigDict


def map_by(key: str) -> Any:
    """Marks a list as a map by one of its items' fields."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def cel(*rules: tuple[str, str]) -> ConfigDict:
    """Model configuration with rules of (expression over self, message)."""
    return ConfigDict(
        json_schema_extra={"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}
    )
