"""Writes the status of a run in which other parties own fields: a backup tool that restored it, or a person. Pure.

Server-side apply removes the fields that its manager owned alone and leaves out. A field that another manager owns as
well would stay for ever: with a completionTime that a backup tool restored, no edit could start the run again
(https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management). Such a status is written as a JSON
merge patch (RFC 7386) with an explicit null for everything that is to go.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from selfalign_operator.cluster.client import FIELD_MANAGER


def shared(managed_fields: Iterable[Mapping[str, Any]] | None) -> bool:
    """Returns whether another manager than the operator's server-side apply owns fields of the status.

    Args:
        managed_fields: metadata.managedFields of the run; None if it has none.
    """
    of_status = [entry for entry in managed_fields or () if entry.get("subresource") == "status"]
    return any((entry.get("manager"), entry.get("operation")) != (FIELD_MANAGER, "Apply") for entry in of_status)


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the JSON merge patch that turns one object into another.

    Args:
        old: the object as it is.
        new: the object as it has to be; it contains no null.

    Returns:
        Changed and added members, null for removed ones; lists are replaced as a whole.
    """
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            if nested := merge_patch(before, value):
                patch[name] = nested
        elif value != before:
            patch[name] = value
    return patch
