"""Puts the model's layers on top of an image with an inference server, without unpacking either. Pure.

An image is its manifest and its config; both refer to layers by digest. The joined image therefore needs new JSON only
and shares the weight blobs with the data image in the same registry. Building it with a container runtime would copy
the weights and need privileges.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfalign_stages.contract.model import canonical_json, sha256_digest

OCI_LAYERS = {
    "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}
"""OCI's media types by Docker's."""


@dataclass(frozen=True)
class ImageContent:
    """An image as parsed JSON.

    Args:
        manifest: OCI image manifest, or Docker's image manifest version 2, schema 2.
        config: the image configuration that the manifest refers to.
    """

    manifest: Mapping[str, Any]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class JoinedImage:
    """A new image whose layers exist already.

    Args:
        manifest: JSON to push last.
        config: JSON to push as a blob.
        digest: digest of the manifest.
    """

    manifest: bytes
    config: bytes
    digest: str

    @property
    def config_digest(self) -> str:
        """Digest of the config blob."""
        return sha256_digest(self.config)


def join(server: ImageContent, model: ImageContent, *, command: list[str]) -> JoinedImage:
    """Joins two images.

    Args:
        server: the lower image. Its environment, user and entry point stay, and its layers come first.
        model: the data image. Its layers come last, and its labels replace equal ones of the server.
        command: new `Cmd`, the arguments of the server's entry point.

    Returns:
        An OCI image for the server's platform.
    """
    base = server.config
    # Members may be null: Docker writes "Labels" so for an image without labels, buildah "config".
    run = base.get("config") or {}
    labels = {**(run.get("Labels") or {}), **model.config["config"]["Labels"]}
    config = canonical_json(
        {
            **base,  # platform, and fields of later versions of the spec
            "config": {**run, "Cmd": command, "Labels": labels},
            # One diff id per layer of the manifest, in its order (image-spec, config.md, rootfs).
            "rootfs": {
                "type": "layers",
                "diff_ids": [*base["rootfs"]["diff_ids"], *model.config["rootfs"]["diff_ids"]],
            },
            "history": [*(base.get("history") or ()), *model.config["history"]],
        }
    )
    manifest = canonical_json(
        {
            **model.manifest,
            "config": {**model.manifest["config"], "digest": sha256_digest(config), "size": len(config)},
            "layers": [*map(_oci_descriptor, server.manifest["layers"]), *model.manifest["layers"]],
        }
    )
    return JoinedImage(manifest=manifest, config=config, digest=sha256_digest(manifest))


def _oci_descriptor(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces Docker's media type by OCI's, since a manifest may not mix them; the blob is the same."""
    return {**layer, "mediaType": OCI_LAYERS.get(layer["mediaType"], layer["mediaType"])}
