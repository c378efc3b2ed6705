"""Assembles an OCI image layout (image-spec 1.1, image-layout.md): blobs, image index and the oci-layout file.

The layout is what the artifact store keeps: any OCI tool can copy it to a registry, and step `push` needs neither the
model nor a container runtime. All JSON is canonical and contains no time, so that equal layers give an equal digest.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfalign_stages.contract.model import canonical_json, sha256_digest
from selfalign_stages.packaging.tar import Blob

# Media types (image-spec, media-types.md).
LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class ImageLayout:
    """An image layout that is ready to be published.

    Args:
        files: contents, or the files with them, by name below the artifact.
        digest: digest of the manifest, by which the image is pulled.
        size: bytes of layers, config and manifest together.
    """

    files: dict[str, Path | bytes]
    digest: str
    size: int


def build(layers: Sequence[Blob], *, labels: Mapping[str, str], reference: str) -> ImageLayout:
    """Builds the layout of an image that contains data only.

    Args:
        layers: uncompressed tar archives, lowest first; their digests double as diff ids.
        labels: go into the config, where container tools show them, and as annotations into the manifest, where
            registries do.
        reference: REGISTRY/PATH:TAG, the image's name in the index.
    """
    config = canonical_json(
        {
            # The spec requires a platform. The image mounts on any other as well, since it contains no executable.
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": dict(labels)},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
            "history": [{"created_by": "selfalign packaging", "empty_layer": False} for _ in layers],
        }
    )
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, config),
            "layers": [{"mediaType": LAYER, "digest": layer.digest, "size": layer.size} for layer in layers],
            "annotations": dict(labels),
        }
    )
    descriptor = _descriptor(MANIFEST, manifest) | {"annotations": {"org.opencontainers.image.ref.name": reference}}
    index = canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]})
    files: dict[str, Path | bytes] = {_blob_name(layer.digest): layer.path for layer in layers}
    files |= {_blob_name(sha256_digest(blob)): blob for blob in (config, manifest)}
    # The version is that of the layout's format and is 1.0.0 in all versions of the image-spec.
    files |= {"oci/index.json": index, "oci/oci-layout": json.dumps({"imageLayoutVersion": "1.0.0"}).encode()}
    size = sum(layer.size for layer in layers) + len(config) + len(manifest)
    return ImageLayout(files=files, digest=sha256_digest(manifest), size=size)


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    """Returns the content descriptor of a blob (image-spec, descriptor.md)."""
    return {"mediaType": media_type, "digest": sha256_digest(data), "size": len(data)}


def _blob_name(digest: str) -> str:
    return "oci/blobs/" + digest.replace(":", "/")
