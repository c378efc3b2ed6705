"""file:// stores: objects are files below a folder, which may be a shared volume.

An object is written to a temporary file beside its target, flushed to disk and then linked to its name. link(2) fails
if the name exists, on local file systems and on NFS, so it is the conditional put of a folder; a rename would silently
replace an object of another worker, and writing in place would show readers half a file after a kill.
"""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.step.store import ObjectInfo

TEMPORARY = ".tmp-"
"""Prefix of files that are being written. A killed process may leave some behind; listings skip them."""


class FileStore:
    """Objects as files.

    Args:
        root: folder of the store, created if missing. All processes of a run must see the same file system.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def open(self, name: str) -> BinaryIO:
        """See Store."""
        return self._path(name).open("rb")

    def put(self, name: str, data: bytes) -> bool:
        """See Store."""
        return self._create(name, lambda path: path.write_bytes(data))

    def put_file(self, name: str, path: Path) -> bool:
        """See Store."""
        return self._create(name, lambda temporary: shutil.copyfile(path, temporary))

    def replace(self, name: str, data: bytes) -> None:
        """See Store."""
        temporary = self._write_temporary(name, lambda path: path.write_bytes(data))
        os.replace(temporary, self._path(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See Store."""
        # A prefix such as "a/part-" is text, not a folder: its files are somewhere below "a".
        folder = self._path(prefix) if prefix.endswith("/") or not prefix else self._path(prefix).parent
        entries = []
        for parent, _, files in os.walk(folder):
            for file in files:
                path = Path(parent, file)
                name = path.relative_to(self.root).as_posix()
                if name.startswith(prefix) and not file.startswith(TEMPORARY):
                    entries.append(ObjectInfo(name=name, size=path.stat().st_size))
        yield from sorted(entries, key=lambda info: info.name)

    def delete(self, name: str) -> None:
        """See Store."""
        self._path(name).unlink(missing_ok=True)

    def probe(self) -> None:
        """Writes and deletes one object.

        Raises:
            OSError: the folder cannot be written.
        """
        self.replace(f"{TEMPORARY}probe", b"probe")
        self.delete(f"{TEMPORARY}probe")

    def _path(self, name: str) -> Path:
        # Names come from manifests too, which anyone with write access to the store can edit.
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise BadInput(
                f"object name {name!r}: leaves the store's root {self.root}; use a path below it", reason="PathEscapes"
            )
        return self.root / name

    def _write_temporary(self, name: str, write: Callable[[Path], object]) -> Path:
        """Writes and flushes a temporary file in the folder of `name`, on the same file system as the target."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        return temporary

    def _create(self, name: str, write: Callable[[Path], object]) -> bool:
        path = self._path(name)
        if path.exists():  # saves writing a large file for nothing; link(2) below decides
            return False
        temporary = self._write_temporary(name, write)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        return True
