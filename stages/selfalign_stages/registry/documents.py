"""Reads image manifests, indexes and image configurations, which anybody may have written. Pure.

The formats are OCI's (image-spec 1.1) and Docker's image manifest version 2, schema 2, and its manifest list. Only
what is used is required; everything else stays in `content` as it was.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from selfalign_stages.contract import strict_json
from selfalign_stages.registry import references

MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MAX_BYTES = 4 << 20
"""Largest manifest, index or configuration: what registries have to accept at least (distribution-spec, "Pushing
Manifests"), and hundreds of times what images have."""
EXCERPT = 60
"""Characters of a wrong media type in a message."""


class _Part(BaseModel):
    # Fields of later versions of the specifications are no error.
    model_config = ConfigDict(alias_generator=to_camel, frozen=True, strict=True, extra="ignore")


class Platform(_Part):
    """What an image of an index runs on."""

    os: str = ""
    architecture: str = ""


class Descriptor(_Part):
    """Reference to a blob or manifest (image-spec, descriptor.md)."""

    media_type: Annotated[str, Field(min_length=1, max_length=255)]
    digest: str
    size: Annotated[int, Field(ge=0, lt=1 << 63)]
    platform: Platform | None = None

    @property
    def is_index(self) -> bool:
        """Whether it refers to an index."""
        return self.media_type in INDEXES


class _Manifest(_Part):
    config: Descriptor
    layers: tuple[Descriptor, ...] = Field(strict=False)


class _Index(_Part):
    manifests: tuple[Descriptor, ...] = Field(strict=False)


class _RootFs(_Part):
    diff_ids: tuple[str, ...] = Field(strict=False, alias="diff_ids")


class _Run(_Part):
    labels: dict[str, str] | None = Field(default=None, alias="Labels")


class _Config(_Part):
    rootfs: _RootFs
    config: _Run | None = None
    history: list[dict[str, Any]] | None = None


PartType = TypeVar("PartType", bound=_Part)


@dataclass(frozen=True)
class ImageManifest:
    """The manifest of one image.

    Attributes:
        data: the bytes as sent: their digest is the image's.
        content: the parsed JSON.
        config: refers to the configuration.
        layers: refer to the layers, lowest first.
    """

    data: bytes
    content: Mapping[str, Any]
    config: Descriptor
    layers: tuple[Descriptor, ...]

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Configuration and layers, each once."""
        return tuple({blob.digest: blob for blob in (self.config, *self.layers)}.values())


@dataclass(frozen=True)
class Index:
    """A list of images, one per platform, or of further lists."""

    data: bytes
    manifests: tuple[Descriptor, ...]


def parse(data: bytes, content_type: str = "") -> ImageManifest | Index:
    """Parses a manifest or an index.

    Args:
        data: the bytes.
        content_type: Content-Type that they came with; "" for none.

    Raises:
        ValueError: neither; the message is worded to follow the name of the image.
    """
    content = _object(data, content_type)
    if content.get("schemaVersion") == 1 or "fsLayers" in content:
        raise ValueError(
            "has a manifest of Docker's schema 1, which is obsolete: push the image again with a tool of today"
        )
    # By its members, since mediaType may be missing. One that is both would be another image to each reader
    # (CVE-2021-41190).
    is_index, is_manifest = "manifests" in content, "config" in content or "layers" in content
    if is_index == is_manifest:
        raise ValueError(f"has a manifest with {'both' if is_index else 'neither'} images and layers: it is no image")
    expected, other = (INDEXES, MANIFESTS) if is_index else (MANIFESTS, INDEXES)
    media_type = content.get("mediaType", expected[0])
    if media_type not in expected or content_type.partition(";")[0].strip() in other:
        raise ValueError(
            f"has a manifest of another type than it says ({str(media_type)[:EXCERPT]!r}): push the image again"
        )
    if is_index:
        return Index(data, _checked(_Index, content, "manifest").manifests)
    manifest = _checked(_Manifest, content, "manifest")
    return ImageManifest(data, content, manifest.config, manifest.layers)


def parse_config(data: bytes, layers: int) -> dict[str, Any]:
    """Parses an image configuration (image-spec, config.md).

    Args:
        data: the bytes.
        layers: number of layers in the manifest.

    Raises:
        ValueError: it is none; worded as in `parse`.
    """
    content = _object(data, "")
    config = _checked(_Config, content, "configuration")
    if len(config.rootfs.diff_ids) != layers:
        raise ValueError(f"has a configuration for {len(config.rootfs.diff_ids)} layers and a manifest with {layers}")
    return content


def digest_of(data: bytes, like: str) -> str:
    """Returns the digest of `data` by the algorithm of another digest."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def _object(data: bytes, content_type: str) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise ValueError(f"has a manifest or configuration of more than {MAX_BYTES >> 20} MiB")
    try:
        content = strict_json.loads(data)
    except ValueError as error:
        said = f" ({content_type[:EXCERPT]!r})" if content_type else ""
        raise ValueError(
            f"has a manifest or configuration{said} that is {error}; behind a proxy or a login page, ask the registry "
            "itself"
        ) from None
    if not isinstance(content, dict):
        raise ValueError("has a manifest or configuration that is no JSON object")
    return content


def _checked(part: type[PartType], content: dict[str, Any], what: str) -> PartType:
    try:
        checked = part.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # repr without its quotes: names are shown as they were written, and reach no terminal as control characters.
        where = repr(".".join(str(step) for step in first["loc"])[:EXCERPT])[1:-1]
        raise ValueError(f"has a {what} in which {where} is wrong: {first['msg']}") from None
    for descriptor in _descriptors(checked):
        if not references.is_digest(descriptor.digest):
            raise ValueError(f"has a {what} with {descriptor.digest[:EXCERPT]!r}, which is no sha256 or sha512 digest")
    return checked


def _descriptors(part: _Part) -> tuple[Descriptor, ...]:
    if isinstance(part, _Manifest):
        return part.config, *part.layers
    return part.manifests if isinstance(part, _Index) else ()
