"""Lays a partial pod template over another as kubectl's strategic merge does. Pure.

Maps are merged, lists of named things are merged by name, all other lists are replaced, null removes a field
(community documentation of strategic merge patch; merge keys as in the core/v1 API's patchMergeKey tags).
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


def overlay(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `patch` over it; neither is changed."""
    merged = dict(base)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _value(name, base.get(name), value)
    return merged


def _value(name: str, old: Any, new: Any) -> Any:
    if isinstance(new, Mapping):
        return overlay(old if isinstance(old, Mapping) else {}, new)
    key = MERGE_KEYS.get(name)
    if key is None or not _keyed(old, key) or not _keyed(new, key):
        return new
    return _by_key(old, new, key)


def _keyed(value: Any, key: str) -> bool:
    return isinstance(value, Sequence) and all(isinstance(item, Mapping) and key in item for item in value)


def _by_key(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], key: str) -> list[dict[str, Any]]:
    """Items of `old` in their order, each with its item of `new` over it, then the items that are only in `new`."""
    patches = {item[key]: item for item in new}
    merged = [overlay(item, patches.pop(item[key], {})) for item in old]
    return [*merged, *(dict(item) for item in patches.values())]
