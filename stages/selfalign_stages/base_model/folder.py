"""Reads builtin:// and file:// base models from a folder, which others may write to meanwhile.

A folder that is mounted into a pod is shared: it may contain links to any file that the pod can read, such as its
service account token, pipes that block whoever opens them, and files that are being replaced. Hence every file is
reached through one checked open, and is copied before its digest is taken.
"""

import errno
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from selfalign_stages.artifacts.checked import BLOCK, copy_hashing
from selfalign_stages.base_model import selection
from selfalign_stages.base_model.quoting import shown
from selfalign_stages.base_model.sources import SourceFile
from selfalign_stages.contract.exits import AccessDenied, BadInput
from selfalign_stages.contract.paths import inside

# hashlib releases the GIL: four threads read shards side by side; more would only compete for the disk.
HASHING_THREADS = 4


@dataclass(frozen=True)
class FolderSource:
    """The files directly in a folder; a model has none in subfolders, where clones keep second copies of weights."""

    folder: Path

    def list_files(self) -> list[SourceFile]:
        """Lists the visible files in path order.

        Raises:
            BadInput: what has the name of a part of the model is a pipe, a folder, a device or a link to nothing.
            AccessDenied: this user may not list the folder.
        """
        with _naming(self.folder):
            names = sorted(entry.name for entry in os.scandir(self.folder) if not entry.name.startswith("."))
        files = []
        for name in names:
            try:
                status = (self.folder / name).stat()
            except OSError:  # a link to nothing, or removed since it was listed
                status = None
            if status is not None and stat.S_ISREG(status.st_mode):
                files.append(SourceFile(path=name, size=status.st_size))
            elif selection.is_model_name(name):
                raise _not_a_file(self.folder / name)
        return files

    def with_content_ids(self, files: Sequence[SourceFile]) -> list[SourceFile]:
        """Returns `files` with size and SHA-256 of their content; reads all of them."""

        def measured(file: SourceFile) -> SourceFile:
            with self._open(file.path) as stream:
                size, digest = copy_hashing(stream, None)
            return replace(file, size=size, content_id=digest)

        with ThreadPoolExecutor(HASHING_THREADS) as pool:
            return list(pool.map(measured, files))

    def read(self, path: str) -> bytes:
        """Returns the content of a small file."""
        with self._open(path) as stream:
            return stream.read()

    def start(self, path: str, length: int) -> bytes:
        """Returns the first bytes of a file."""
        with self._open(path) as stream:
            return stream.read(length)

    def fetch(self, path: str, target: Path) -> None:
        """Copies a file. A link would be faster, but whoever writes to the folder could change it after its check."""
        with self._open(path) as stream, target.open("wb") as sink:
            shutil.copyfileobj(stream, sink, BLOCK)

    def _open(self, path: str) -> BinaryIO:
        """Opens a file of the folder, and nothing else, without waiting for anything.

        Raises:
            BadInput: it leads out of the folder, is no regular file or does not exist.
            AccessDenied: this user may not read it.
        """
        name = self.folder / path
        with _naming(name):
            root = self.folder.resolve()
            allowed = _allowed_root(root)
            try:
                file = inside(allowed, (root.relative_to(allowed) / path).as_posix()).resolve()
            except RuntimeError as error:  # pathlib's error for a loop of links
                raise _not_a_file(name) from error
            # NONBLOCK: opening a pipe would wait for a writer. NOFOLLOW: the file may be a link since `resolve`.
            descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _not_a_file(name)
        return os.fdopen(descriptor, "rb")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Names path and remedy in errors of opening a file or folder."""
    try:
        yield
    except PermissionError as error:
        raise AccessDenied(
            f"spec.baseModel.uri: {path}: user id {os.getuid()} may not read it; let this user read it"
        ) from error
    except FileNotFoundError as error:
        raise BadInput(
            f"spec.baseModel.uri: {path}: was removed while the model was read; put it back", reason="BaseModelMissing"
        ) from error
    except OSError as error:
        # A socket gives ENXIO; ELOOP is NOFOLLOW's answer to a link.
        if error.errno in (errno.ENXIO, errno.ELOOP, errno.ENOTDIR, errno.EISDIR):
            raise _not_a_file(path) from error
        raise


def _not_a_file(path: Path) -> BadInput:
    return BadInput(
        f"spec.baseModel.uri: {shown(str(path))}: is no regular file but a folder, pipe, socket, device or a link to "
        "nothing; put the file itself there",
        reason="BaseModelUnfit",
    )


def _allowed_root(folder: Path) -> Path:
    """Returns the folder that links may not leave: a cached Hub repository where `folder` is a snapshot in one.

    The cache of huggingface_hub keeps contents in REPOSITORY/blobs, and snapshots as links to them.
    """
    repository = folder.parent.parent
    return repository if folder.parent.name == "snapshots" and (repository / "blobs").is_dir() else folder
