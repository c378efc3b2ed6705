"""Step push: takes the packed image from the store to a registry, by digest, then gives it its tags.

Blobs that the registry has are not sent again, so that a killed push goes on and a second model of one base is cheap.
The tags come last: whoever pulls one gets a whole image.
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


def run(context: StepContext) -> Manifest:
    """Publishes pushed.json, the digests by format. Metrics: image (by digest), digest, size."""
    settings = PushParameters.model_validate(context.task.parameters)
    packed = reading.require_manifest(context.store, context.task.inputs["image"])
    layers = _layers(context.store, packed)
    context.progress.begin(len(layers), unit="blobs")
    with Repository(settings.repository, plain_http=settings.plain_http) as repository:
        for digest, entry in layers.items():
            context.check_stop()
            _upload(context, packed, entry, digest, repository)
            context.progress.advance()
        digests = {format_: _publish(context, packed, settings, repository, format_) for format_ in settings.formats}
    first = digests[settings.formats[0]]
    return writing.publish(
        context,
        files={"pushed.json": canonical_json({"repository": settings.repository, "digests": digests})},
        metrics={"image": f"{settings.repository}@{first}", "digest": first, "size": packed.metrics["size"]},
    )


def still_valid(store: Store, manifest: Manifest) -> bool:
    """Whether the registry still has what was pushed; a registry that cannot be asked is the push step's to report."""
    settings = PushParameters.model_validate(manifest.parameters)
    pushed = reading.read_json(store, manifest, "pushed.json")
    try:
        with Repository(settings.repository, plain_http=settings.plain_http) as repository:
            return all(
                repository.digest(name) == digest
                for format_, digest in pushed["digests"].items()
                for name in (digest, *tags(settings, format_))
            )
    except StageError:
        return False


def tags(settings: PushParameters, format_: str) -> list[str]:
    """Tags of a format: the first format has the plain ones."""
    wanted = [settings.tag, *([settings.promote_to] if settings.promote_to else [])]
    return wanted if format_ == settings.formats[0] else [f"{tag}-{format_}" for tag in wanted]


def _publish(
    context: StepContext, packed: Manifest, settings: PushParameters, repository: Repository, format_: str
) -> str:
    """Pushes config and manifest of one format, then its tags; the manifest's digest."""
    digest = str(packed.metrics["digest"])
    manifest = reading.read_bytes(context.store, packed, BLOBS + digest.removeprefix("sha256:"))
    if format_ == "server":
        joined = _joined(context, packed, settings, repository, manifest)
        manifest, digest = joined.manifest, joined.digest
    repository.put_manifest(manifest, digest)
    for tag in tags(settings, format_):
        repository.put_manifest(manifest, tag)
    return digest


def _joined(
    context: StepContext, packed: Manifest, settings: PushParameters, repository: Repository, manifest: bytes
) -> joining.Joined:
    model = json.loads(manifest)
    own = reading.read_json(context.store, packed, BLOBS + model["config"]["digest"].removeprefix("sha256:"))
    with source_of_base(settings) as (source, reference):
        server = json.loads(source.manifest(reference))
        base = joining.ImageContent(server, json.loads(source.blob(server["config"]["digest"])))
        command = ["/models", "--served-model-name", settings.served_name]
        made = joining.joined(base, joining.ImageContent(model, own), command=command)
        for layer in server["layers"]:
            context.check_stop()
            _take_over(context, layer, source, repository)
    path = context.scratch / "config.json"
    path.write_bytes(made.config)
    repository.put_blob(path, digest=made.config_digest, size=len(made.config))
    return made


@contextmanager
def source_of_base(settings: PushParameters) -> Iterator[tuple[Repository, str]]:
    """The repository of the image with the server, and its tag or digest."""
    name, reference = split(settings.base or "")
    plain = settings.plain_http and name.partition("/")[0] == settings.repository.partition("/")[0]
    with Repository(name, plain_http=plain) as repository:
        yield repository, reference


def split(reference: str) -> tuple[str, str]:
    """Repository and tag or digest of an image reference."""
    if "@" in reference:
        name, _, digest = reference.partition("@")
        return name, digest
    name, colon, tag = reference.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (reference, "latest")


def _take_over(context: StepContext, layer: dict[str, Any], source: Repository, repository: Repository) -> None:
    """Gets a layer of the server's image into our repository, without a copy where the registry can."""
    digest = layer["digest"]
    if repository.has(digest) or repository.mount(digest, source.name):
        return
    path = context.scratch / "server-layer"
    source.fetch(digest, path)
    repository.put_blob(path, digest=digest, size=layer["size"])
    path.unlink()


def _layers(store: Store, packed: Manifest) -> dict[str, FileEntry]:
    """Files of the image that are blobs but not its manifest, by digest."""
    manifest = str(packed.metrics["digest"]).removeprefix("sha256:")
    blobs = {entry.name.removeprefix(BLOBS): entry for entry in packed.files if entry.name.startswith(BLOBS)}
    return {f"sha256:{name}": entry for name, entry in blobs.items() if name != manifest}


def _upload(context: StepContext, packed: Manifest, entry: FileEntry, digest: str, repository: Repository) -> None:
    if repository.has(digest):
        return
    path: Path = context.scratch / "blob"
    with context.store.open(f"{packed.ref.prefix}/{entry.name}") as source, path.open("wb") as sink:
        shutil.copyfileobj(source, cast(BinaryIO, sink), reading.BLOCK)
    repository.put_blob(path, digest=digest, size=entry.size)
    path.unlink()
