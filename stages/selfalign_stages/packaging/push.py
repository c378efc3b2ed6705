"""Step push: copies the packed image from the artifact store to a registry and sets its tags.

An image is pushed in one or more formats. `modelcar` is the packed image as it is; `server` puts its layers on top of
the image spec.image.base. Blobs that the registry has are not sent: a push that was killed resumes with the missing
ones, and a second model that shares shards costs little. Manifests come after their blobs, because registries reject
references to missing ones, and tags come last: a tag always refers to a complete image.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.contract.exits import StageError
from selfalign_stages.contract.manifest import FileEntry, Manifest
from selfalign_stages.contract.model import canonical_json
from selfalign_stages.contract.parameters import PushParameters
from selfalign_stages.packaging import joining
from selfalign_stages.packaging.registry import Repository
from selfalign_stages.step.context import StepContext
from selfalign_stages.step.store import Store

BLOBS = "oci/blobs/sha256/"
"""Folder of blobs in the image artifact (packaging.layout)."""
DEFAULT_TAG = "latest"
"""Tag of a reference that names none, as for container tools."""


def run(context: StepContext) -> Manifest:
    """Publishes pushed.json: repository, and the digests by format. Metrics: image (by digest), digest, size in bytes.

    The metrics are those of the first format, which has the plain tags.

    Raises:
        AccessDenied: the registry denies pushing.
        BadInput: the image to build on is missing, or the registry rejects a request.
        Unavailable: the registry is throttled, down or unreachable.
        Interrupted: the step was stopped between two blobs; a rerun sends only those that are missing.
    """
    parameters = PushParameters.model_validate(context.task.parameters)
    image = reading.require_manifest(context.store, context.task.inputs["image"])
    blobs = _blobs(image)
    context.progress.begin(len(blobs), unit="blobs")
    # All formats share the model's blobs, so these are sent once and first.
    with Repository(parameters.repository, plain_http=parameters.plain_http) as repository:
        for digest, entry in blobs.items():
            context.check_stop()
            _upload_blob(context, image, entry, digest, repository)
            context.progress.advance()
        digests = {
            format_: _push_format(context, image, parameters, repository, format_) for format_ in parameters.formats
        }
    first = digests[parameters.formats[0]]
    return writing.publish(
        context,
        files={"pushed.json": canonical_json({"repository": parameters.repository, "digests": digests})},
        metrics={"image": f"{parameters.repository}@{first}", "digest": first, "size": image.metrics["size"]},
    )


def still_valid(store: Store, manifest: Manifest) -> bool:
    """Whether the registry still has what a finished push sent, under its digests and its tags.

    Args:
        store: the artifact store.
        manifest: manifest of the push.

    Returns:
        False also if the registry cannot be reached or denies access: the push then runs and reports that as its own
        failure.
    """
    parameters = PushParameters.model_validate(manifest.parameters)
    pushed = reading.read_json(store, manifest, "pushed.json")
    try:
        with Repository(parameters.repository, plain_http=parameters.plain_http) as repository:
            return all(
                repository.digest(reference) == digest
                for format_, digest in pushed["digests"].items()
                for reference in (digest, *tags(parameters, format_))
            )
    except StageError:
        return False


def tags(parameters: PushParameters, format_: str) -> list[str]:
    """Returns the tags of a format: TAG and, if set, the one to promote to; all but the first format add "-FORMAT"."""
    plain = [parameters.tag, *([parameters.promote_to] if parameters.promote_to else [])]
    return plain if format_ == parameters.formats[0] else [f"{tag}-{format_}" for tag in plain]


def parse_reference(reference: str) -> tuple[str, str]:
    """Splits an image reference, such as "registry.example:5000/team/server:1", into repository and tag or digest."""
    if "@" in reference:
        name, _, digest = reference.partition("@")
        return name, digest
    name, colon, tag = reference.rpartition(":")
    # A colon before a slash belongs to the port of the registry.
    return (name, tag) if colon and "/" not in tag else (reference, DEFAULT_TAG)


@contextmanager
def open_base_image(parameters: PushParameters) -> Iterator[tuple[Repository, str]]:
    """Opens the repository of spec.image.base; yields it with the tag or digest.

    `plainHttp` of the image applies to the base only in the same registry: another one, usually public, has TLS.
    """
    name, reference = parse_reference(parameters.base or "")
    same_registry = name.partition("/")[0] == parameters.repository.partition("/")[0]
    with Repository(name, plain_http=parameters.plain_http and same_registry) as repository:
        yield repository, reference


def _push_format(
    context: StepContext, image: Manifest, parameters: PushParameters, repository: Repository, format_: str
) -> str:
    """Pushes the manifest of one format by its digest, then its tags; returns the digest."""
    digest = str(image.metrics["digest"])
    manifest = _read_blob(context.store, image, digest)
    if format_ == "server":
        joined = _push_server_blobs(context, image, parameters, repository, manifest)
        manifest, digest = joined.manifest, joined.digest
    # By digest first: the registry verifies it against the bytes before any tag is moved.
    repository.put_manifest(manifest, digest)
    for tag in tags(parameters, format_):
        repository.put_manifest(manifest, tag)
    return digest


def _push_server_blobs(
    context: StepContext, image: Manifest, parameters: PushParameters, repository: Repository, manifest: bytes
) -> joining.JoinedImage:
    """Joins the image with its server, and pushes the server's layers and the new config."""
    model_manifest = json.loads(manifest)
    model_config = json.loads(_read_blob(context.store, image, model_manifest["config"]["digest"]))
    with open_base_image(parameters) as (source, reference):
        server_manifest = json.loads(source.manifest(reference))
        server_config = json.loads(source.read_blob(server_manifest["config"]["digest"]))
        joined = joining.join(
            joining.ImageContent(server_manifest, server_config),
            joining.ImageContent(model_manifest, model_config),
            command=["/models", "--served-model-name", parameters.served_name],
        )
        for layer in server_manifest["layers"]:
            context.check_stop()
            _copy_layer(context, layer, source, repository)
    path = context.scratch / "config.json"
    path.write_bytes(joined.config)
    repository.put_blob(path, digest=joined.config_digest, size=len(joined.config))
    return joined


def _copy_layer(context: StepContext, layer: dict[str, Any], source: Repository, repository: Repository) -> None:
    """Copies a layer from one repository to another, by a mount where the registry supports it."""
    digest = layer["digest"]
    if repository.has_blob(digest) or repository.mount_blob(digest, source.name):
        return
    path = context.scratch / "server-layer"
    # Through a file, since layers of inference servers have gigabytes.
    source.download_blob(digest, path)
    repository.put_blob(path, digest=digest, size=layer["size"])
    path.unlink()


def _blobs(image: Manifest) -> dict[str, FileEntry]:
    """Returns layers and config of the image artifact by digest; the manifest is not pushed as a blob."""
    manifest = str(image.metrics["digest"]).removeprefix("sha256:")
    blobs = {entry.name.removeprefix(BLOBS): entry for entry in image.files if entry.name.startswith(BLOBS)}
    return {f"sha256:{name}": entry for name, entry in blobs.items() if name != manifest}


def _read_blob(store: Store, image: Manifest, digest: str) -> bytes:
    return reading.read_bytes(store, image, BLOBS + digest.removeprefix("sha256:"))


def _upload_blob(context: StepContext, image: Manifest, entry: FileEntry, digest: str, repository: Repository) -> None:
    """Uploads a blob, unless the registry has it.

    The blob goes through a file in the scratch folder. It is not hashed on the way: the registry verifies the digest.
    """
    if repository.has_blob(digest):
        return
    path: Path = context.scratch / "blob"
    with context.store.open(f"{image.ref.prefix}/{entry.name}") as source, path.open("wb") as sink:
        shutil.copyfileobj(source, cast(BinaryIO, sink), reading.BLOCK)
    repository.put_blob(path, digest=digest, size=entry.size)
    path.unlink()
