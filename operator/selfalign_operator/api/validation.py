"""Schema extensions that pydantic has no word for: list map keys, and cross-field rules in CEL.

CEL rules (Kubernetes documentation, "Validation rules") let the API server refuse an impossible combination at
`kubectl apply`, with the operator down. They cannot replace the Python checks in `manifest.cross_field`: CEL runs after
defaulting but before presets are resolved, sees no other object, and does not run on a laptop. Constants and messages
of both come from `selfalign_stages.contract.rules`.
"""

from typing import Any

from pydantic import ConfigDict


def map_by(key: str) -> dict[str, Any]:
    """Returns the schema extension that makes a list a map by one field of its items.

    Server-side apply then merges items by that field, and the API server refuses two items with an equal one.

    Args:
        key: name of the item field, as written in a manifest.
    """
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def cel(*rules: tuple[str, str]) -> ConfigDict:
    """Returns the model configuration that attaches CEL rules to a model's schema.

    Args:
        *rules: pairs of a CEL expression over `self`, which must be true, and the message of a violation. An optional
            field must be guarded by `has(...)`; `oldSelf` makes the rule a transition rule, checked on updates only.
    """
    return ConfigDict(
        json_schema_extra={"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}
    )
