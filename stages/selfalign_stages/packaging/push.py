"""Step push: copies the packed image from the artifact store to a registry and sets its tags.

An image is pushed in one or more formats. `modelcar` is the packed image as it is; `server` puts its layers on top of
the image spec.image.base. Blobs that the registry has are not sent: a push that was killed resumes with the missing
ones, and a second model that shares shards costs little. Manifests come after their blobs, because registries reject
references to missing ones, and tags come last: a tag always refers to a complete image.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.contract.exits import BadInput, StageError
from selfalign_stages.contract.manifest import FileEntry, Manifest
from selfalign_stages.contract.model import canonical_json
from selfalign_stages.contract.parameters import PushParameters
from selfalign_stages.packaging import joining
from selfalign_stages.registry import documents, uses
from selfalign_stages.registry.documents import Descriptor, ImageManifest
from selfalign_stages.registry.pulling import ReadRepository
from selfalign_stages.registry.pushing import Repository
from selfalign_stages.registry.references import parse_reference, parse_repository
from selfalign_stages.step.context import StepContext
from selfalign_stages.step.store import Store

BLOBS = "oci/blobs/sha256/"
"""Folder of blobs in the image artifact (packaging.layout)."""
CHECK_THREADS = 8
"""Blobs that are asked for side by side when a finished push is checked: a large model has a hundred."""


@dataclass(frozen=True)
class BaseImage:
    """The image of spec.image.base.

    Attributes:
        repository: where its layers are.
        manifest: its manifest, for linux/amd64.
        config: its configuration, parsed.
    """

    repository: ReadRepository
    manifest: ImageManifest
    config: dict[str, Any]


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
    blobs = _blobs(context.store, image)
    context.progress.begin(len(blobs), unit="blobs")
    # All formats share the model's blobs, so these are sent once and first.
    with Repository(parameters.repository, plain_http=parameters.plain_http) as repository:
        for descriptor, entry in blobs:
            context.check_stop()
            _upload_blob(context, image, entry, descriptor, repository)
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
    """Whether the registry still has what a finished push sent: tags, manifests and every blob, by digest and size.

    Registries lose blobs by garbage collection, full disks and people, and answer for the manifest all the same.

    Args:
        store: the artifact store.
        manifest: manifest of the push.

    Returns:
        False also if the registry cannot be reached or denies access: the push then runs and reports that as its own
        failure.
    """
    parameters = PushParameters.model_validate(manifest.parameters)
    try:
        pushed = reading.read_json(store, manifest, "pushed.json")
        with Repository(parameters.repository, plain_http=parameters.plain_http) as repository:
            return all(
                _has_image(repository, digest)
                and all(repository.digest(tag) == digest for tag in tags(parameters, format_))
                for format_, digest in pushed["digests"].items()
            )
    except StageError:
        return False


def _has_image(repository: ReadRepository, digest: str) -> bool:
    image = repository.document(digest)
    with ThreadPoolExecutor(CHECK_THREADS) as pool:
        return isinstance(image, ImageManifest) and all(pool.map(repository.has_blob, image.blobs))


def tags(parameters: PushParameters, format_: str) -> list[str]:
    """Returns the tags of a format: TAG and, if set, the one to promote to; all but the first format add "-FORMAT"."""
    plain = [parameters.tag, *([parameters.promote_to] if parameters.promote_to else [])]
    return plain if format_ == parameters.formats[0] else [f"{tag}-{format_}" for tag in plain]


@contextmanager
def open_base_image(parameters: PushParameters) -> Iterator[BaseImage]:
    """Opens the image of spec.image.base, with manifest and configuration read and verified.

    `plainHttp` of the image applies to the base only in the same registry: another one, usually public, has TLS.

    Raises:
        BadInput: it is missing or damaged, is no image, or has none for linux/amd64.
        AccessDenied, Unavailable: as for every access to a registry.
    """
    name, reference = parse_reference(parameters.base or "")
    same_registry = parse_repository(name).host == parse_repository(parameters.repository).host
    with ReadRepository(name, plain_http=parameters.plain_http and same_registry, use=uses.BASE) as repository:
        manifest = repository.image(reference)
        data = repository.read_blob(manifest.config)
        try:
            config = documents.parse_config(data, len(manifest.layers))
        except ValueError as error:
            raise BadInput(f"spec.image.base: {parameters.base}: {error}", reason="InvalidManifest") from error
        yield BaseImage(repository, manifest, config)


def _push_format(
    context: StepContext, image: Manifest, parameters: PushParameters, repository: Repository, format_: str
) -> str:
    """Pushes the manifest of one format by its digest, then its tags; returns the digest."""
    digest = str(image.metrics["digest"])
    manifest = _model_manifest(context.store, image)
    if format_ == "server":
        joined = _push_server_blobs(context, image, parameters, repository, manifest)
        manifest, digest = _parsed(joined.manifest), joined.digest
    # By digest first: the registry verifies it against the bytes before any tag is moved.
    repository.put_manifest(manifest, digest)
    for tag in tags(parameters, format_):
        repository.put_manifest(manifest, tag)
    return digest


def _push_server_blobs(
    context: StepContext, image: Manifest, parameters: PushParameters, repository: Repository, model: ImageManifest
) -> joining.JoinedImage:
    """Joins the image with its server, and pushes the server's layers and the new config."""
    model_config = documents.parse_config(_read_blob(context.store, image, model.config.digest), len(model.layers))
    with open_base_image(parameters) as base:
        joined = joining.join(
            joining.ImageContent(base.manifest.content, base.config),
            joining.ImageContent(model.content, model_config),
            command=["/models", "--served-model-name", parameters.served_name],
        )
        for layer in base.manifest.layers:
            context.check_stop()
            _copy_layer(context, layer, base.repository, repository)
    path = context.scratch / "config.json"
    path.write_bytes(joined.config)
    repository.put_blob(path, _parsed(joined.manifest).config)
    return joined


def _copy_layer(context: StepContext, layer: Descriptor, source: ReadRepository, repository: Repository) -> None:
    """Copies a layer from one repository to another, by a mount where the registry supports it."""
    if repository.has_blob(layer) or repository.mount_blob(layer.digest, source.name):
        return
    path = context.scratch / "server-layer"
    # Through a file, since layers of inference servers have gigabytes.
    source.download_blob(layer, path)
    repository.put_blob(path, layer)
    path.unlink()


def _blobs(store: Store, image: Manifest) -> list[tuple[Descriptor, FileEntry]]:
    """Returns configuration and layers of the image artifact, each with its file."""
    entries = {entry.file_name: entry for entry in image.files}
    return [(blob, entries[_blob_name(blob.digest)]) for blob in _model_manifest(store, image).blobs]


def _model_manifest(store: Store, image: Manifest) -> ImageManifest:
    return _parsed(_read_blob(store, image, str(image.metrics["digest"])))


def _parsed(manifest: bytes) -> ImageManifest:
    """Parses a manifest that this program has written and verified."""
    parsed = documents.parse(manifest)
    assert isinstance(parsed, ImageManifest)
    return parsed


def _read_blob(store: Store, image: Manifest, digest: str) -> bytes:
    return reading.read_bytes(store, image, _blob_name(digest))


def _blob_name(digest: str) -> str:
    return BLOBS + digest.removeprefix("sha256:")


def _upload_blob(
    context: StepContext, image: Manifest, entry: FileEntry, descriptor: Descriptor, repository: Repository
) -> None:
    """Uploads a blob, unless the registry has it.

    It goes through a verified file in the scratch folder. A stream from the store to the registry would save the disk,
    but a damaged object would then show as a registry that rejects a digest, and nothing would make it anew.
    """
    if repository.has_blob(descriptor):
        return
    path = context.scratch / "blob"
    reading.fetch(context.store, image, entry, path)
    repository.put_blob(path, descriptor)
    path.unlink()
