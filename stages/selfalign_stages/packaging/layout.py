"""An OCI image layout (image-spec 1.1) over layers: config, manifest, index. Pure but for the files it writes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfalign_stages.contract.model import canonical_json, sha256_digest
from selfalign_stages.packaging.tar import Blob

LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class ImageLayout:
    """Files of a layout by name, the image's digest and its size in bytes."""

    files: dict[str, Path | bytes]
    digest: str
    size: int


def image(layers: Sequence[Blob], *, labels: Mapping[str, str], reference: str) -> ImageLayout:
    """The layout of an image of data alone: it runs on any platform, since it runs nothing."""
    config = canonical_json(
        {
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
    entry = _descriptor(MANIFEST, manifest) | {"annotations": {"org.opencontainers.image.ref.name": reference}}
    index = canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})
    files: dict[str, Path | bytes] = {_place(layer.digest): layer.path for layer in layers}
    files |= {_place(sha256_digest(blob)): blob for blob in (config, manifest)}
    files |= {"oci/index.json": index, "oci/oci-layout": json.dumps({"imageLayoutVersion": "1.0.0"}).encode()}
    size = sum(layer.size for layer in layers) + len(config) + len(manifest)
    return ImageLayout(files=files, digest=sha256_digest(manifest), size=size)


def _descriptor(kind: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": sha256_digest(data), "size": len(data)}


def _place(digest: str) -> str:
    return "oci/blobs/" + digest.replace(":", "/")
