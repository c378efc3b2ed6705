"""Copies a ConfigMap pack into an immutable ConfigMap that is named by its content. Pure.

The kubelet updates a mounted ConfigMap in place, so an edit by the user could change a pack between two files that a
running pod reads. Pods therefore mount a snapshot; an edit gives another digest, another snapshot and other keys.
"""

from collections.abc import Mapping
from typing import Any

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.jobs.identity import MANAGED_BY, RUN, RUN_UID, owner
from selfalign_stages.contract.model import canonical_json, sha256_hex

HASH_LENGTH = 16
"""Hexadecimal characters (64 bits) in the name: two contents of one run must not share a snapshot."""


def digest(config_map: Mapping[str, Any]) -> str:
    """Computes the SHA-256 of the files in a ConfigMap (data and binaryData), as 64 hexadecimal characters."""
    return sha256_hex(canonical_json([config_map.get("data") or {}, config_map.get("binaryData") or {}]))


def snapshot(run: SelfAlignRun, config_map: Mapping[str, Any]) -> dict[str, Any]:
    """Builds the immutable copy of a ConfigMap; the run owns it, so that both are deleted together."""
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


def name(run: SelfAlignRun, content_digest: str) -> str:
    """Returns the name of the snapshot for a content digest.

    It covers the run's uid too: the snapshot of a deleted run of the same name may still await garbage collection.
    """
    text = f"{run.metadata.uid}{content_digest}".encode()
    return f"{run.metadata.name}-pack-{sha256_hex(text)[:HASH_LENGTH]}"
