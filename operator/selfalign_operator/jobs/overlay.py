"""Applies a partial pod template to another one, as `kubectl patch --type=strategic` does. Pure.

Maps are merged, lists of named items are merged by name, all other lists are replaced, and null removes a field. A JSON
merge patch (RFC 7396) was rejected: it replaces whole lists, so that adding one environment variable would drop the
stage's own. Merge keys are those of the patchMergeKey tags in core/v1; directives ($patch) are not supported.
"""

from collections.abc import Mapping, Sequence
from typing import Any

MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "topologySpreadConstraints": "topologyKey",
}
"""Field that identifies an item, by the name of the list. Lists that are not named here, such as tolerations, have no
merge key in core/v1 and are replaced."""
REPLACED_ITEMS = {"env"}
"""Lists whose items are replaced by the patch's item of the same name, not merged with it: an environment variable has
either `value` or `valueFrom`, and one that has both is rejected."""


def overlay(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `base` with `patch` merged over it; neither is changed."""
    merged = dict(base)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(name, base.get(name), value)
    return merged


def _merge(name: str, old: Any, new: Any) -> Any:
    if isinstance(new, Mapping):
        return overlay(old if isinstance(old, Mapping) else {}, new)
    key = MERGE_KEYS.get(name)
    # A malformed list replaces the old one: the API server then rejects the Job with the path of the field.
    if key is None or not _items_have(key, old) or not _items_have(key, new):
        return new
    return _merge_by_key(old, new, key, replace=name in REPLACED_ITEMS)


def _items_have(key: str, value: Any) -> bool:
    # a merge key is a name, a path or a port number: a list or map in its place identifies nothing
    return isinstance(value, Sequence) and all(
        isinstance(item, Mapping) and isinstance(item.get(key), str | int) for item in value
    )


def _merge_by_key(
    old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], key: str, *, replace: bool
) -> list[dict[str, Any]]:
    """Old items in their order, each merged with its new item, then the items that are only in `new`."""
    # Of two new items with one name the last wins, as in a JSON object.
    patches = {item[key]: item for item in new}
    merged = [overlay({} if replace and item[key] in patches else item, patches.pop(item[key], {})) for item in old]
    return [*merged, *(dict(item) for item in patches.values())]
