"""Reads artifacts, verifies every byte against the manifest, and sets aside what is damaged.

Stores are shared and outlive runs: objects get lost to lifecycle rules, cut by full disks and edited by hand. Training
on such rows, or publishing such weights, would go unnoticed; a digest check costs little beside the transfer. A damaged
object is moved away and never deleted. Its artifact then no longer exists for anyone, and InputLost makes the planner
run the step that produces it again, which keeps what is still good.
"""

import io
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import zstandard
from pydantic import BaseModel

from selfalign_stages.artifacts import checked, chunk_header
from selfalign_stages.artifacts.checked import Damaged
from selfalign_stages.contract.exits import BadInput, DoesNotFit, InputLost
from selfalign_stages.contract.manifest import ArtifactRef, FileEntry, Manifest
from selfalign_stages.contract.model import sha256_hex
from selfalign_stages.contract.paths import inside
from selfalign_stages.step.store import Store

Row = TypeVar("Row", bound=BaseModel)
SMALL_BYTES = 8 << 20
"""Files up to this size are transferred SMALL_THREADS at a time: requests, and not bytes, take the time."""
SMALL_THREADS, LARGE_THREADS = 16, 4
"""Files that are transferred side by side. Shards of weights are large, so that few connections suffice."""
MANIFEST = "manifest.json"
"""Name of the manifest among an artifact's objects."""


def read_manifest(store: Store, ref: ArtifactRef) -> Manifest | None:
    """Reads an artifact's manifest; None while the artifact does not exist.

    Raises:
        Damaged: the object is no manifest of this artifact.
    """
    manifest: Manifest | None = None

    def problem(data: bytes) -> str | None:
        nonlocal manifest
        try:
            manifest = Manifest.decode(data, ref)
        except ValueError as error:
            return f"is no valid manifest: {error}"
        return None

    try:
        checked.read(store, f"{ref.prefix}/{MANIFEST}", problem)
    except FileNotFoundError:
        return None
    return manifest


def require_manifest(store: Store, ref: ArtifactRef) -> Manifest:
    """Reads the manifest of a step's input.

    Raises:
        InputLost: the artifact does not exist, or is damaged and set aside.
    """
    with _input(store, ref):
        manifest = read_manifest(store, ref)
        if manifest is None:
            raise FileNotFoundError(f"{ref.prefix}/{MANIFEST}")
        return manifest


def read_bytes(store: Store, manifest: Manifest, name: str) -> bytes:
    """Reads one file of an artifact into memory.

    Args:
        store: the artifact's store.
        manifest: the artifact's manifest.
        name: name of the file in the manifest.

    Raises:
        BadInput: the manifest lists no such file.
        InputLost: the object is missing, or damaged and set aside.
    """
    entry = _entry(manifest, name)

    def problem(data: bytes) -> str | None:
        return checked.difference(entry, size=len(data), sha256=sha256_hex(data))

    with _input(store, manifest.ref):
        return checked.read(store, f"{manifest.ref.prefix}/{entry.name}", problem)


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

    Raises:
        InputLost: a part is missing, or damaged and set aside.
    """
    for entry in sorted(manifest.files, key=lambda entry: entry.file_name):
        if not entry.name.endswith(".jsonl.zst"):
            continue
        data = read_bytes(store, manifest, entry.name)
        with _input(store, manifest.ref), _decoding(f"{manifest.ref.prefix}/{entry.name}"):
            part = list(decode_rows(data, model))
        yield from (row for row in part if not kept or getattr(row, "reject", None) is None)


def decode_rows(data: bytes, model: type[Row]) -> Iterator[Row]:
    """Yields the rows of one part: JSON lines, compressed with zstd, decompressed as a stream.

    Raises:
        ValueError: it is not compressed by zstd or cut off, or a line is no row of this type.
    """
    # As a stream: rows compress several times, and a part need not be in memory twice.
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(chunk_header.strip(data)))
    try:
        for number, line in enumerate(io.TextIOWrapper(reader, encoding="utf-8", newline="\n"), start=1):
            try:
                yield model.model_validate_json(line)
            except RecursionError:
                raise ValueError(f"line {number} is nested too deeply") from None
    except zstandard.ZstdError as error:
        raise ValueError(f"is not compressed by zstd: {error}") from None


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
        InputLost: an object is missing, or damaged and set aside.
        BadInput: a name leads out of the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # An interrupted download may have left whole files.
    needed = [entry for entry in manifest.files if not _present(inside(folder, entry.file_name), entry)]
    size, free = sum(entry.size for entry in needed), checked.free_bytes(folder)
    if size > free:
        raise DoesNotFit(
            f"{folder}: {manifest.ref.prefix} needs {size >> 20} MiB of disk and {free >> 20} MiB are free; "
            "free space there, or run where more is"
        )

    def fetch_one(entry: FileEntry) -> None:
        target = inside(folder, entry.file_name)
        target.parent.mkdir(parents=True, exist_ok=True)
        fetch(store, manifest, entry, target)

    for threads, entries in by_size(needed):
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(fetch_one, entries))
    return folder


def fetch(store: Store, manifest: Manifest, entry: FileEntry, target: Path) -> None:
    """Downloads and verifies one file of an artifact.

    Args:
        store: the artifact's store.
        manifest: the artifact's manifest.
        entry: the file.
        target: file to create or replace; it exists only with the right bytes.

    Raises:
        InputLost: the object is missing, or damaged and set aside.
    """
    with _input(store, manifest.ref):
        checked.fetch(store, f"{manifest.ref.prefix}/{entry.name}", entry, target)


def by_size(entries: Iterable[FileEntry]) -> list[tuple[int, list[FileEntry]]]:
    """Groups files by how many of them are transferred side by side; returns that number with each group."""
    groups: dict[int, list[FileEntry]] = {}
    for entry in entries:
        groups.setdefault(SMALL_THREADS if entry.size <= SMALL_BYTES else LARGE_THREADS, []).append(entry)
    return list(groups.items())


@contextmanager
def _input(store: Store, ref: ArtifactRef) -> Iterator[None]:
    """Turns damage and absence of an input's object into InputLost, and sets a damaged object aside."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputLost(
            f"{ref.prefix}: {error} is missing in the store, though an earlier step published it; the step that makes "
            "it runs again. Check who deletes from the store",
            key=ref.key,
        ) from error
    except Damaged as error:
        moved = store.set_aside(error.name)
        raise InputLost(
            f"{error}; moved to {moved or 'nowhere, it is gone by now'}, and the step that makes it runs again. "
            "Check the storage",
            key=ref.key,
        ) from error


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    # The digest was right: the part was written by another release, or by hand together with its manifest.
    try:
        yield
    except ValueError as error:
        raise Damaged(name, str(error)) from error


def _present(path: Path, entry: FileEntry) -> bool:
    return path.is_file() and path.stat().st_size == entry.size and checked.hash_file(path)[1] == entry.sha256


def _entry(manifest: Manifest, name: str) -> FileEntry:
    for entry in manifest.files:
        if name in (entry.file_name, entry.name):
            return entry
    names = [entry.name for entry in manifest.files]
    raise BadInput(f"{manifest.ref.prefix}: contains no file {name!r}; it contains {names}", reason="FileMissing")
