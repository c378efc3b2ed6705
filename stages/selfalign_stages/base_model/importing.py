"""Step import: copies the needed files of the base model into the artifact store and verifies them.

All other steps read the model from the store alone, so that a run neither depends on the Hub for days nor reads a
folder that changes meanwhile. Models are large and imports get interrupted: every file is published under its final
name as soon as it is verified, and a rerun keeps the files that are complete. The artifact exists only with its
manifest, which is published last.
"""

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
    """Publishes the model's files, and source.json with its origin, digest and licence. Metrics: bytes, license.

    Raises:
        BadInput: the model is unfit, changed since preflight, or has incomplete weights.
        Unavailable: a download arrived damaged; it is retried.
        Interrupted: the step was stopped between two files.
    """
    leaf = context.task.leaves[BASE_MODEL]
    source = open_source.open_source(leaf, store=context.task.store)
    model = inspection.inspect(source, leaf)
    if model.fitness.problems:
        problems = "; ".join(model.fitness.problems)
        raise BadInput(f"spec.baseModel.uri {leaf.uri!r}: {problems}", reason="BaseModelUnfit")
    _check_unchanged(leaf, model.digest)
    entries = _Importer(context, source, model).copy_files()
    # Only a SHA-256 can be compared with the bytes that were copied. For ETags, an unchanged listing after the copy
    # shows that no object was replaced while it ran.
    if not all(sources.is_sha256(file.content_id) for file in model.model_files):
        _check_unchanged(leaf, inspection.inspect(source, leaf).digest)
    origin = {"uri": leaf.uri, "revision": leaf.revision, "digest": model.digest, "license": model.license}
    return writing.publish(
        context,
        files={"source.json": json.dumps(origin, sort_keys=True).encode()},
        entries=entries,
        metrics={"bytes": model.size_bytes, "license": model.license or "unknown"},
    )


def _check_unchanged(leaf: Leaf, digest: str) -> None:
    """Raises BadInput unless `digest` is the one that preflight computed; without preflight there is none."""
    if leaf.digest and leaf.digest != digest:
        raise BadInput(
            f"spec.baseModel.uri {leaf.uri!r}: its files changed since preflight, from {leaf.digest} to {digest}; "
            "run again",
            reason="LeafChanged",
        )


class _Importer:
    """Copies the files of one model, one after the other, keeping those that an earlier attempt published."""

    def __init__(self, context: StepContext, source: Source, model: Inspection) -> None:
        self._context, self._source = context, source
        self._files = (*model.model_files, *model.documents)
        self._weight_map = model.fitness.weight_map
        self._prefix = ArtifactRef(kind=context.task.kind, key=context.task.key).prefix

    def copy_files(self) -> list[FileEntry]:
        """Returns the manifest's entries of all files, each of which is in the store under its own name."""
        stored_sizes = {info.name: info.size for info in self._context.store.list(f"{self._prefix}/")}
        self._context.progress.begin(sum(file.size for file in self._files), unit="bytes")
        return [self._import_file(file, stored_sizes) for file in self._files]

    def _import_file(self, file: SourceFile, stored_sizes: Mapping[str, int]) -> FileEntry:
        self._context.check_stop()
        size = stored_sizes.get(f"{self._prefix}/{file.path}")
        entry = (self._reuse(file, size) if size is not None else None) or self._copy(file)
        self._context.progress.advance(file.size)
        return entry

    def _reuse(self, file: SourceFile, size: int) -> FileEntry | None:
        """Returns the entry of a file that an earlier attempt published; deletes it and returns None if it differs.

        The key under which it was published names these very contents, so a difference means damage in the store.
        """
        name = f"{self._prefix}/{file.path}"
        digest = writing.stored_digest(self._context.store, name)
        if size == file.size and (digest == file.content_id or not sources.is_sha256(file.content_id)):
            return FileEntry(name=file.path, size=size, sha256=digest)
        self._context.store.delete(name)
        return None

    def _copy(self, file: SourceFile) -> FileEntry:
        """Fetches a file to the scratch folder, verifies it, and only then publishes it."""
        # One file at a time: the scratch folder needs no more than the largest shard.
        target = self._context.scratch / "file"
        try:
            self._source.fetch(file.path, target)
            size, digest = reading.hash_file(target)
            if sources.is_sha256(file.content_id) and digest != file.content_id:
                raise Unavailable(
                    f"spec.baseModel.uri: {file.path} arrived with sha256 {digest}, its source has {file.content_id}",
                    reason="DownloadDamaged",
                )
            self._check_weights(target, file.path)
            self._context.store.put_file(f"{self._prefix}/{file.path}", target)
        finally:
            target.unlink(missing_ok=True)
        return FileEntry(name=file.path, size=size, sha256=digest)

    def _check_weights(self, path: Path, name: str) -> None:
        """Raises BadInput unless a shard is complete and has the tensors that the index assigns to it."""
        if not name.endswith(".safetensors"):
            return
        try:
            with path.open("rb") as file:
                tensors = safetensors_header.read_header(file, size=path.stat().st_size)
        except ValueError as error:
            raise _unfit(f"{name}: {error}") from error
        # Only for several shards: without an index, the header itself is the list of tensors.
        expected = {tensor for tensor, shard in self._weight_map.items() if shard == name}
        if missing := sorted(expected - tensors.keys()):
            raise _unfit(f"{name}: lacks tensor {missing[0]}, which the index assigns to it")


def _unfit(message: str) -> BadInput:
    return BadInput(f"spec.baseModel.uri: {message}", reason="BaseModelUnfit")
