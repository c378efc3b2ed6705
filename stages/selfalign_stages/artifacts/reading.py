"""Reads artifacts back and trusts nothing: every byte is checked against the manifest's digests."""

import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import zstandard
from pydantic import BaseModel

from selfalign_stages.contract.exits import BadInput, DoesNotFit
from selfalign_stages.contract.manifest import ArtifactRef, FileEntry, Manifest
from selfalign_stages.step.store import Store

Row = TypeVar("Row", bound=BaseModel)
BLOCK = 1 << 20
MANIFEST = "manifest.json"


def read_manifest(store: Store, ref: ArtifactRef) -> Manifest | None:
    """The artifact's manifest, or None while there is none."""
    try:
        with store.open(f"{ref.prefix}/{MANIFEST}") as stream:
            return Manifest.model_validate_json(stream.read())
    except FileNotFoundError:
        return None


def require_manifest(store: Store, ref: ArtifactRef) -> Manifest:
    """The manifest of an input; BadInput if it is gone."""
    manifest = read_manifest(store, ref)
    if manifest is None:
        raise BadInput(
            f"{ref.prefix}: the input artifact is gone from the store; run again to rebuild it", reason="InputMissing"
        )
    return manifest


def read_bytes(store: Store, manifest: Manifest, name: str) -> bytes:
    """One file's verified content, for files that fit in memory."""
    entry = _entry(manifest, name)
    with store.open(f"{manifest.ref.prefix}/{name}") as stream:
        data = stream.read()
    check(manifest.ref.prefix, entry, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    return data


def read_json(store: Store, manifest: Manifest, name: str) -> Any:
    """One JSON file's verified content."""
    return json.loads(read_bytes(store, manifest, name))


def rows(store: Store, manifest: Manifest, model: type[Row], *, kept: bool = True) -> Iterator[Row]:
    """The records of an artifact in order; `kept` leaves out those with a reject reason."""
    for entry in manifest.files:
        if not entry.name.endswith(".jsonl.zst"):
            continue
        for row in decode_rows(read_bytes(store, manifest, entry.name), model):
            if not kept or getattr(row, "reject", None) is None:
                yield row


def decode_rows(data: bytes, model: type[Row]) -> Iterator[Row]:
    """The records of one compressed part."""
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data))
    for line in io.TextIOWrapper(reader, encoding="utf-8"):
        yield model.model_validate_json(line)


def download(store: Store, manifest: Manifest, folder: Path) -> Path:
    """Fetches all files into `folder`, verified; files that are there with the right digest are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    needed = [entry for entry in manifest.files if not _present(folder / entry.name, entry)]
    size, free = sum(entry.size for entry in needed), shutil.disk_usage(folder).free
    if size > free:
        raise DoesNotFit(
            f"{folder}: {manifest.ref.prefix} needs {size >> 20} MiB of disk and {free >> 20} MiB are free"
        )
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda entry: _fetch(store, manifest, entry, folder), needed))
    return folder


def _fetch(store: Store, manifest: Manifest, entry: FileEntry, folder: Path) -> None:
    target = folder / entry.name
    if not target.resolve().is_relative_to(folder.resolve()):
        raise BadInput(f"{manifest.ref.prefix}/{entry.name}: leaves its folder", reason="PathEscapes")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    with store.open(f"{manifest.ref.prefix}/{entry.name}") as source, partial.open("wb") as sink:
        size, digest = copy_hashing(source, sink)
    check(manifest.ref.prefix, entry, size=size, sha256=digest)
    partial.replace(target)


def copy_hashing(source: BinaryIO, sink: BinaryIO) -> tuple[int, str]:
    """Copies a stream once; size and SHA-256 of what went through."""
    sha, size = hashlib.sha256(), 0
    while block := source.read(BLOCK):
        sha.update(block)
        size += len(block)
        sink.write(block)
    return size, sha.hexdigest()


def hash_file(path: Path) -> tuple[int, str]:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
    return path.stat().st_size, digest


def _present(path: Path, entry: FileEntry) -> bool:
    return path.is_file() and path.stat().st_size == entry.size and hash_file(path)[1] == entry.sha256


def _entry(manifest: Manifest, name: str) -> FileEntry:
    for entry in manifest.files:
        if entry.name == name:
            return entry
    raise BadInput(f"{manifest.ref.prefix}: holds no file {name!r}", reason="FileMissing")


def check(place: str, entry: FileEntry, *, size: int, sha256: str) -> None:
    if (size, sha256) != (entry.size, entry.sha256):
        raise BadInput(
            f"{place}/{entry.name}: has sha256 {sha256[:12]} and {size} bytes, its manifest says "
            f"{entry.sha256[:12]} and {entry.size}; the object was changed: delete the artifact's folder and run again",
            reason="DigestMismatch",
        )
