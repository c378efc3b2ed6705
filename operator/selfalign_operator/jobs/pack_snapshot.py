"""Keeps the pack that a run uses as it is: an immutable copy of its ConfigMap, named by its content. Pure.

An edit of the user's ConfigMap is another pack and never changes one that a pod reads.
"""

from collections.abc import Mapping
from typing import Any

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.jobs.identity import MANAGED_BY, RUN, RUN_UID, owner
from selfalign_stages.contract.model import canonical_json, sha256_hex

DIGEST_LETTERS = 16


def digest(config_map: Mapping[str, Any]) -> str:
    """Of the files in a ConfigMap."""
    return sha256_hex(canonical_json([config_map.get("data") or {}, config_map.get("binaryData") or {}]))


def snapshot(run: SelfAlignRun, config_map: Mapping[str, Any]) -> dict[str, Any]:
    """The copy, owned by the run."""
    files = {part: config_map[part] for part in ("data", "binaryData") if config_map.get(part)}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name(run, digest(config_map)),
            "namespace": run.metadata.namespace,
            "labels": {
                "app.kubernetes.io/name": "selfalign",
                "app.kubernetes.io/managed-by": MANAGED_BY,
                RUN: run.metadata.name,
                RUN_UID: run.metadata.uid or "",
            },
            "ownerReferences": [owner(run)],
        },
        "immutable": True,
        **files,
    }


def name(run: SelfAlignRun, content: str) -> str:
    """Name of the copy."""
    return f"{run.metadata.name}-pack-{sha256_hex(f'{run.metadata.uid}{content}'.encode())[:DIGEST_LETTERS]}"
