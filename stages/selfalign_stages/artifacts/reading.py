"""Reads artifacts and verifies every byte against the manifest's digests.

Stores are shared and outlive runs: objects get lost to lifecycle rules, cut by full disks and edited by hand. Training
on such rows, or publishing such weights, would go unnoticed; a digest check costs little beside the transfer.
"""

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
"""Bytes per read of a stream: bounds memory, and is large enough that hashing and the network dominate."""
DOWNLOAD_THREADS = 4
"""Files that are downloaded side by side. Shards of weights are large, so that few connections suffice."""
MANIFEST = "manifest.json"
"""Name of the manifest among an artifact's objects."""


def read_manifest(store: Store, ref: ArtifactRef) -> Manifest | None:
    """Reads an artifact's manifest; None while the artifact does not exist."""
    try:
        with store.open(f"{ref.prefix}/{MANIFEST}") as stream:
            return Manifest.model_validate_json(stream.read())
    except FileNotFoundError:
        return None


def require_manifest(store: Store, ref: ArtifactRef) -> Manifest:
    """Reads the manifest of a step's input.

    Raises:
        BadInput: the artifact does not exist any more; a new run computes it anew.
    """
    manifest = read_manifest(store, ref)
    if manifest is None:
        raise BadInput(
            f"{ref.prefix}: the input artifact is missing in the store, though an earlier step published it; "
            "run again to rebuild it, and check who deletes from the store",
            reason="InputMissing",
        )
    return manifest


def read_bytes(store: Store, manifest: Manifest, name: str) -> bytes:
    """Reads one file of an artifact into memory.

    Args:
        store: the artifact's store.
        manifest: the artifact's manifest.
        name: name of the file in the manifest.

    Raises:
        BadInput: the manifest lists no such file, or the object differs from its digest.
        FileNotFoundError: the object is missing though the manifest lists it.
    """
    entry = _entry(manifest, name)
    with store.open(f"{manifest.ref.prefix}/{name}") as stream:
        data = stream.read()
    verify(manifest.ref.prefix, entry, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    return data


def read_json(store: Store, manifest: Manifest, name: str) -> Any:
    """Reads and parses one JSON file; arguments and errors as in `read_bytes`."""
    return json.loads(read_bytes(store, manifest, name))


def rows(store: Store, manifest: Manifest, model: type[Row], *, kept: bool = True) -> Iterator[Row]:
    """Yields the rows of an artifact in order, one verified part at a time.

    Args:
        store: the artifact's store.
        manifest: the artifact's manifest; its files that end in `.jsonl.zst` contain the rows.
        model: type of the rows.
        kept: leaves out rows with a reject reason. False: yields all rows.
    """
    for entry in manifest.files:
        if not entry.name.endswith(".jsonl.zst"):
            continue
        for row in decode_rows(read_bytes(store, manifest, entry.name), model):
            if not kept or getattr(row, "reject", None) is None:
                yield row


def decode_rows(data: bytes, model: type[Row]) -> Iterator[Row]:
    """Yields the rows of one part: JSON lines, compressed with zstd, decompressed as a stream."""
    # As a stream: rows compress several times, and a part need not be in memory twice.
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data))
    for line in io.TextIOWrapper(reader, encoding="utf-8"):
        yield model.model_validate_json(line)


def download(store: Store, manifest: Manifest, folder: Path) -> Path:
    """Downloads and verifies all files of an artifact.

    Args:
        store: the artifact's store.
        manifest: the artifact's manifest.
        folder: created if missing. Files that it already contains with the right digest are not downloaded again.

    Returns:
        `folder`.

    Raises:
        DoesNotFit: the disk has less free space than the missing files need; nothing is downloaded.
        BadInput: an object differs from its digest, or a name leads out of the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # An interrupted download may have left whole files.
    needed = [entry for entry in manifest.files if not _present(folder / entry.name, entry)]
    size, free = sum(entry.size for entry in needed), shutil.disk_usage(folder).free
    if size > free:
        raise DoesNotFit(
            f"{folder}: {manifest.ref.prefix} needs {size >> 20} MiB of disk and {free >> 20} MiB are free; "
            "free space or point --scratch at a larger disk"
        )
    with ThreadPoolExecutor(DOWNLOAD_THREADS) as pool:
        list(pool.map(lambda entry: _fetch(store, manifest, entry, folder), needed))
    return folder


def verify(prefix: str, entry: FileEntry, *, size: int, sha256: str) -> None:
    """Compares what was read with what the manifest lists.

    Args:
        prefix: folder of the object in the store, for the message.
        entry: the file as the manifest lists it.
        size: bytes read.
        sha256: hexadecimal digest of the bytes read.

    Raises:
        BadInput: they differ. Reading again does not help: the object in the store has changed.
    """
    if (size, sha256) != (entry.size, entry.sha256):
        raise BadInput(
            f"{prefix}/{entry.name}: has sha256 {sha256[:12]} and {size} bytes, its manifest lists "
            f"{entry.sha256[:12]} and {entry.size}; the object was changed: delete the artifact's folder and run again",
            reason="DigestMismatch",
        )


def _fetch(store: Store, manifest: Manifest, entry: FileEntry, folder: Path) -> None:
    target = folder / entry.name
    # The name comes from the store, where others may write; it must not overwrite files elsewhere in the pod.
    if not target.resolve().is_relative_to(folder.resolve()):
        raise BadInput(
            f"{manifest.ref.prefix}/{entry.name}: leaves its folder; the manifest was edited: "
            "delete the artifact's folder and run again",
            reason="PathEscapes",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    # Renamed only when verified, so that a file under its final name is always whole.
    partial = target.with_name(target.name + ".partial")
    with store.open(f"{manifest.ref.prefix}/{entry.name}") as source, partial.open("wb") as sink:
        size, digest = copy_hashing(source, sink)
    verify(manifest.ref.prefix, entry, size=size, sha256=digest)
    partial.replace(target)


def copy_hashing(source: BinaryIO, sink: BinaryIO) -> tuple[int, str]:
    """Copies a stream and hashes it on the way, so that the content is read once.

    Returns:
        Bytes copied and their SHA-256 in hexadecimal.
    """
    sha, size = hashlib.sha256(), 0
    while block := source.read(BLOCK):
        sha.update(block)
        size += len(block)
        sink.write(block)
    return size, sha.hexdigest()


def hash_file(path: Path) -> tuple[int, str]:
    """Returns size in bytes and hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
    return path.stat().st_size, digest


def _present(path: Path, entry: FileEntry) -> bool:
    return path.is_file() and path.stat().st_size == entry.size and hash_file(path)[1] == entry.sha256


def _entry(manifest: Manifest, name: str) -> FileEntry:
    for entry in manifest.files:
        if entry.name == name:
            return entry
    names = [entry.name for entry in manifest.files]
    raise BadInput(f"{manifest.ref.prefix}: contains no file {name!r}; it contains {names}", reason="FileMissing")
