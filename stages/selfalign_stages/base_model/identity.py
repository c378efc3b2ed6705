"""Tells whether an import artifact is the base model that a run names, from what the store holds alone.

A run's keys contain the digest of its base model, and a manifest names its own key; but whoever may write to a store
can put other weights under that key. Every later step would take them for the model. The digest of the model covers
path, size and content id of its files, which the manifest lists as well: it is computed once more from there.
"""

from collections.abc import Iterable
from dataclasses import replace

from selfalign_stages.artifacts import checked
from selfalign_stages.artifacts.checked import Damaged
from selfalign_stages.base_model import selection, sources
from selfalign_stages.base_model.sources import SourceFile
from selfalign_stages.contract import strict_json
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.model import sha256_hex
from selfalign_stages.step.store import Store

ORIGIN = "source.json"
"""File of an import artifact that says where the model came from."""
ETAGS = "etags"
"""Entry of ORIGIN: ETag by path, for models from S3."""


def stored_fingerprint(manifest: Manifest) -> str:
    """Returns the digest that the artifact's base model has in a folder or on a hub, where content ids are SHA-256."""
    return sources.fingerprint(_model_files(manifest))


def etags(files: Iterable[SourceFile]) -> dict[str, str]:
    """Returns what ORIGIN records under ETAGS; empty if all content ids are SHA-256, which the manifest has."""
    return {file.path: file.content_id for file in files if not sources.is_sha256(file.content_id)}


def matches(store: Store, manifest: Manifest, digest: str) -> bool:
    """Whether an import artifact is the base model of a digest.

    For models from hubs and folders this is proof: digest and manifest list the same SHA-256 values, which readers
    compare with the bytes. The digest of a model from S3 covers ETags. There it is the statement of the step that made
    the artifact and compared it with the bucket, in a file that the manifest lists; it holds against artifacts under a
    wrong key and against exchanged weights, not against someone who forges that file as well.

    Args:
        store: the artifact's store; nothing is written to it.
        manifest: the artifact's manifest.
        digest: leaf digest of the base model.
    """
    if stored_fingerprint(manifest) == digest:
        return True
    recorded = _recorded(store, manifest)
    files = [replace(file, content_id=recorded.get(file.path, "")) for file in _model_files(manifest)]
    return sources.fingerprint(files) == digest


def _model_files(manifest: Manifest) -> list[SourceFile]:
    """The files that make up the model: a file too many changes the digest just as another one does."""
    return [
        SourceFile(path=entry.file_name, size=entry.size, content_id=entry.sha256)
        for entry in manifest.files
        if entry.file_name != ORIGIN and not selection.is_document(entry.file_name)
    ]


def _recorded(store: Store, manifest: Manifest) -> dict[str, str]:
    """Reads ETAGS; empty if there are none, or the file is missing or damaged."""
    entry = next((entry for entry in manifest.files if entry.file_name == ORIGIN), None)
    if entry is None:
        return {}

    def problem(data: bytes) -> str | None:
        return checked.difference(entry, size=len(data), sha256=sha256_hex(data))

    try:
        loaded = strict_json.loads(checked.read(store, f"{manifest.ref.prefix}/{entry.name}", problem))
    except (FileNotFoundError, Damaged, ValueError):
        return {}
    recorded = loaded.get(ETAGS) if isinstance(loaded, dict) else None
    return {path: tag for path, tag in recorded.items() if isinstance(tag, str)} if isinstance(recorded, dict) else {}
