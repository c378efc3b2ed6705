"""Step import: copies the base model's needed files into the store, verified, file by file so that a kill loses one."""

import json
from collections.abc import Mapping
from pathlib import Path

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.base_model import inspection, open_source, safetensors_header, sources
from selfalign_stages.base_model.inspection import Inspection
from selfalign_stages.base_model.sources import Source, SourceFile
from selfalign_stages.contract.exits import BadInput, Unavailable
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.manifest import ArtifactRef, FileEntry, Manifest
from selfalign_stages.contract.task import Leaf
from selfalign_stages.step.context import StepContext


def run(context: StepContext) -> Manifest:
    """Publishes the model's files and source.json, which tells where they came from and their licence."""
    leaf = context.task.leaves[BASE_MODEL]
    source = open_source.open_source(leaf, store=context.task.store)
    found = inspection.inspect(source, leaf)
    if found.verdict.problems:
        listed = "; ".join(found.verdict.problems)
        raise BadInput(f"spec.baseModel.uri {leaf.uri!r}: {listed}", reason="BaseModelUnfit")
    _check_unchanged(leaf, found.digest)
    entries = _Import(context, source, found).entries()
    if not all(sources.is_sha256(file.mark) for file in found.parts):
        _check_unchanged(leaf, inspection.inspect(source, leaf).digest)
    record = {"uri": leaf.uri, "revision": leaf.revision, "digest": found.digest, "license": found.license}
    return writing.publish(
        context,
        files={"source.json": json.dumps(record, sort_keys=True).encode()},
        entries=entries,
        metrics={"bytes": found.bytes, "license": found.license or "unknown"},
    )


def _check_unchanged(leaf: Leaf, digest: str) -> None:
    if leaf.digest and leaf.digest != digest:
        raise BadInput(
            f"spec.baseModel.uri {leaf.uri!r}: its files changed since preflight, from {leaf.digest} to {digest}; "
            "run again",
            reason="LeafChanged",
        )


class _Import:
    """One attempt at copying; what an earlier one published is kept."""

    def __init__(self, context: StepContext, source: Source, found: Inspection) -> None:
        self._context, self._source = context, source
        self._files = (*found.parts, *found.documents)
        self._weight_map = found.verdict.weight_map
        self._prefix = ArtifactRef(kind=context.task.kind, key=context.task.key).prefix

    def entries(self) -> list[FileEntry]:
        """Entries of all files, each in the store under its own name."""
        there = {info.name: info.size for info in self._context.store.list(f"{self._prefix}/")}
        self._context.progress.begin(sum(file.size for file in self._files), unit="bytes")
        return [self._entry(file, there) for file in self._files]

    def _entry(self, file: SourceFile, there: Mapping[str, int]) -> FileEntry:
        self._context.check_stop()
        size = there.get(f"{self._prefix}/{file.path}")
        entry = (self._kept(file, size) if size is not None else None) or self._copied(file)
        self._context.progress.advance(file.size)
        return entry

    def _kept(self, file: SourceFile, size: int) -> FileEntry | None:
        """What an earlier attempt published. It was put whole and from these very files, so only damage can differ."""
        name = f"{self._prefix}/{file.path}"
        digest = writing.stored_digest(self._context.store, name)
        if size == file.size and (digest == file.mark or not sources.is_sha256(file.mark)):
            return FileEntry(name=file.path, size=size, sha256=digest)
        self._context.store.delete(name)
        return None

    def _copied(self, file: SourceFile) -> FileEntry:
        target = self._context.scratch / "file"
        try:
            self._source.fetch(file.path, target)
            size, digest = reading.hash_file(target)
            if sources.is_sha256(file.mark) and digest != file.mark:
                raise Unavailable(
                    f"spec.baseModel.uri: {file.path} arrived with sha256 {digest}, its source says {file.mark}",
                    reason="DownloadDamaged",
                )
            self._check_weights(target, file.path)
            self._context.store.put_file(f"{self._prefix}/{file.path}", target)
        finally:
            target.unlink(missing_ok=True)
        return FileEntry(name=file.path, size=size, sha256=digest)

    def _check_weights(self, path: Path, name: str) -> None:
        if not name.endswith(".safetensors"):
            return
        try:
            with path.open("rb") as file:
                tensors = safetensors_header.read(file, size=path.stat().st_size)
        except ValueError as error:
            raise _unfit(f"{name}: {error}") from error
        wanted = {tensor for tensor, shard in self._weight_map.items() if shard == name}
        if missing := sorted(wanted - tensors.keys()):
            raise _unfit(f"{name}: lacks tensor {missing[0]}, which the index says it holds")


def _unfit(message: str) -> BadInput:
    return BadInput(f"spec.baseModel.uri: {message}", reason="BaseModelUnfit")
