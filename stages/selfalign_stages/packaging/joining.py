"""Joins the model's layers with an image that serves them: one more image over the same weight blobs. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfalign_stages.contract.model import canonical_json, sha256_digest

DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True)
class ImageContent:
    """Manifest and config of an image, parsed."""

    manifest: Mapping[str, Any]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Joined:
    """Manifest and config of the joined image, and its digest."""

    manifest: bytes
    config: bytes
    digest: str

    @property
    def config_digest(self) -> str:
        """Digest of the config blob."""
        return sha256_digest(self.config)


def joined(server: ImageContent, model: ImageContent, *, command: list[str]) -> Joined:
    """The server's image with the model's layers on top; `command` is what its entry point is given."""
    told, own = server.config, model.config
    labels = {**(told.get("config", {}).get("Labels") or {}), **own["config"]["Labels"]}
    diff_ids = [*told["rootfs"]["diff_ids"], *own["rootfs"]["diff_ids"]]
    config = canonical_json(
        {
            **told,
            "config": {**told.get("config", {}), "Cmd": command, "Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [*told.get("history", ()), *own["history"]],
        }
    )
    manifest = canonical_json(
        {
            **model.manifest,
            "config": {**model.manifest["config"], "digest": sha256_digest(config), "size": len(config)},
            "layers": [*map(_as_oci, server.manifest["layers"]), *model.manifest["layers"]],
        }
    )
    return Joined(manifest=manifest, config=config, digest=sha256_digest(manifest))


def _as_oci(layer: Mapping[str, Any]) -> dict[str, Any]:
    """A layer under the OCI name of its media type: the blobs are the same."""
    kind = layer["mediaType"].replace(DOCKER_LAYER, OCI_LAYER)
    return {**layer, "mediaType": kind}
