"""Copies the files of one model into the store, each verified before and kept by later attempts.

A file is fetched to the scratch folder, compared with its listing, and put under its final name only then. The bytes
that are put are those that were compared: the scratch folder is this process's own.
"""

import errno
import json
import logging
from collections.abc import Mapping
from pathlib import Path

from selfalign_stages.artifacts.checked import copy_hashing
from selfalign_stages.artifacts.file_store import FileStore
from selfalign_stages.base_model import safetensors_header, space, verifying
from selfalign_stages.base_model.inspection import Inspection
from selfalign_stages.base_model.quoting import shown
from selfalign_stages.base_model.sources import Source, SourceFile, is_sha256
from selfalign_stages.contract import strict_json
from selfalign_stages.contract.exits import BadInput, Unavailable
from selfalign_stages.contract.manifest import ArtifactRef, FileEntry
from selfalign_stages.step.context import StepContext

LOG = logging.getLogger("selfalign")
RECORDS = "verified"
"""Folder beside the files, while they are copied, with size and SHA-256 of those whose source names neither."""
PUT_ATTEMPTS = 2
"""Puts of one file. The second one follows when an object with other bytes was set aside."""


class Copier:
    """Copies the files of one model, one after the other, keeping those that an earlier attempt published.

    Args:
        context: the import step.
        source: where the files are.
        model: the files, as they were inspected.
    """

    def __init__(self, context: StepContext, source: Source, model: Inspection) -> None:
        self._context, self._source = context, source
        self._files = (*model.model_files, *model.documents)
        self._weight_map = model.fitness.weight_map
        self._prefix = ArtifactRef(kind=context.task.kind, key=context.task.key).prefix

    def copy_files(self) -> list[FileEntry]:
        """Returns the manifest's entries of all files, each of which is in the store under its own name.

        Raises:
            BadInput: the source does not have a file as it is listed, or weights are incomplete.
            DoesNotFit: there is no space for the next file.
            Unavailable: a download keeps arriving damaged.
            Interrupted: the step was stopped between two files.
        """
        stored_sizes = {info.name: info.size for info in self._context.store.list(f"{self._prefix}/")}
        self._context.progress.begin(sum(file.size for file in self._files), unit="bytes")
        return [self._import_file(file, stored_sizes) for file in self._files]

    def remove_records(self) -> None:
        """Removes what only a later attempt would need; the artifact is published."""
        for info in list(self._context.store.list(f"{self._prefix}/{RECORDS}/")):
            self._context.store.delete(info.name)

    def _import_file(self, file: SourceFile, stored_sizes: Mapping[str, int]) -> FileEntry:
        self._context.check_stop()
        stored = f"{self._prefix}/{file.path}" in stored_sizes
        entry = (self._reuse(file) if stored else None) or self._copy(file)
        self._context.progress.advance(file.size)
        return entry

    def _reuse(self, file: SourceFile) -> FileEntry | None:
        """Returns the entry of a file that an earlier attempt published; sets it aside and returns None if it differs.

        The key under which it was published names these very contents, so a difference means damage in the store.
        """
        store, name = self._context.store, f"{self._prefix}/{file.path}"
        expected = self._expected(file)
        if expected is not None and expected == self._stored(file.path):
            return expected
        moved = store.set_aside(name)
        problem = "is not what was imported" if expected else "cannot be compared with what was imported"
        LOG.warning("%s: %s; moved to %s and copied anew", name, problem, moved)
        return None

    def _copy(self, file: SourceFile) -> FileEntry:
        """Fetches a file, verifies it, and only then publishes it."""
        # One file at a time: the scratch folder needs no more than the largest shard.
        context = self._context
        target = context.scratch / "file"
        folders = [context.scratch, *([context.store.root] if isinstance(context.store, FileStore) else [])]
        space.require(folders, file.size, path=file.path)
        try:
            content = verifying.fetch(self._source.fetch, file, target)
            self._check_weights(target, file.path)
            entry = FileEntry(name=file.path, size=content.size, sha256=content.sha256)
            self._put(file, entry, target)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise space.too_small(Path(error.filename or context.scratch), f"{shown(file.path)} fills it up") from error
        finally:
            target.unlink(missing_ok=True)
        return entry

    def _put(self, file: SourceFile, entry: FileEntry, path: Path) -> None:
        """Publishes a verified file; an object of another writer under its name is compared and not trusted."""
        store, name = self._context.store, f"{self._prefix}/{entry.name}"
        if not is_sha256(file.content_id):
            # Before the file: a file without its record counts as damaged.
            record = {"contentId": file.content_id, **entry.to_dict()}
            store.replace(f"{self._prefix}/{RECORDS}/{entry.name}", json.dumps(record).encode())
        for _ in range(PUT_ATTEMPTS):
            if store.put_file(name, path) or self._stored(entry.name) == entry:
                return
            LOG.warning("%s: has other bytes than the base model; moved to %s", name, store.set_aside(name))
        raise Unavailable(
            f"{name}: another writer keeps putting other bytes there; check who writes to the store",
            reason="StoreContended",
        )

    def _stored(self, path: str) -> FileEntry | None:
        """Measures a stored file; None if it is gone."""
        try:
            with self._context.store.open(f"{self._prefix}/{path}") as stream:
                size, digest = copy_hashing(stream, None)
        except FileNotFoundError:
            return None
        return FileEntry(name=path, size=size, sha256=digest)

    def _expected(self, file: SourceFile) -> FileEntry | None:
        """What a stored file has to be: from its listing if that names a SHA-256, else from the record of its copy."""
        if is_sha256(file.content_id):
            return FileEntry(name=file.path, size=file.size, sha256=file.content_id)
        try:
            with self._context.store.open(f"{self._prefix}/{RECORDS}/{file.path}") as stream:
                record = strict_json.loads(stream.read())
            stated = record.pop("contentId", None) if isinstance(record, dict) else None
            entry = FileEntry.model_validate(record)
        except (FileNotFoundError, ValueError):
            return None
        return entry if (stated, entry.name, entry.size) == (file.content_id, file.path, file.size) else None

    def _check_weights(self, path: Path, name: str) -> None:
        """Raises BadInput unless a shard is complete and has the tensors that the index assigns to it."""
        if not name.endswith(".safetensors"):
            return
        try:
            with path.open("rb") as file:
                tensors = safetensors_header.read_header(file, size=path.stat().st_size)
        except ValueError as error:
            raise _unfit(f"{shown(name)}: {error}") from error
        # Only for several shards: without an index, the header itself is the list of tensors.
        expected = {tensor for tensor, shard in self._weight_map.items() if shard == name}
        if missing := sorted(expected - tensors.keys()):
            raise _unfit(f"{shown(name)}: lacks tensor {shown(missing[0])}, which the index assigns to it")


def _unfit(message: str) -> BadInput:
    return BadInput(f"spec.baseModel.uri: {message}", reason="BaseModelUnfit")
