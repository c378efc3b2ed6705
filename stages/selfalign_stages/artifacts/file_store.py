"""file:// stores: objects are files below a folder, which may be a shared volume.

An object is written to a temporary file beside its target, flushed to disk, given its name if that is free
(create_once), and the folder flushed as well: an object that `put` has reported survives a power cut. A rename would
silently replace an object of another worker, and writing in place would show readers half a file after a kill.

Opening a store changes nothing, so that a finished run can be read from a read-only volume.
"""

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal
from uuid import uuid4

from selfalign_stages.artifacts import temporaries
from selfalign_stages.artifacts.create_once import create_once, make_folder, sync_folder
from selfalign_stages.artifacts.temporaries import TEMPORARY
from selfalign_stages.artifacts.whole_file import open_whole
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.file_errors import stage_error
from selfalign_stages.contract.paths import check_name, inside
from selfalign_stages.step.store import SET_ASIDE, ObjectInfo

OTHER_STORE = "put the store elsewhere: spec.artifacts.uri, or --workdir if that is unset"
REMEDY = f"free space or permit it there, or {OTHER_STORE}"
NAME_BYTES = 255
"""Longest name of a file on Linux's file systems (NAME_MAX)."""


class FileStore:
    """Objects as files.

    Args:
        root: folder of the store, created by the first write. All processes of a run must see the same file system.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, name: str) -> BinaryIO:
        """See Store."""
        with self._mapped(name, "read"):
            return open_whole(self._path(name))

    def put(self, name: str, data: bytes) -> bool:
        """See Store."""
        return self._create(name, lambda path: path.write_bytes(data), size=len(data))

    def put_file(self, name: str, path: Path) -> bool:
        """See Store."""
        size = path.stat().st_size  # raises here, and not as an error of the store, if there is no such file
        return self._create(name, lambda temporary: shutil.copyfile(path, temporary), size=size)

    def replace(self, name: str, data: bytes) -> None:
        """See Store."""
        path = self._path(name)
        with self._mapped(name, "write", size=len(data)), _temporary(path.parent) as temporary:
            _write(temporary, lambda target: target.write_bytes(data))
            os.replace(temporary, path)
            sync_folder(path.parent)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See Store.

        Raises:
            BadInput: a link leads out of the store; what it points to is not the store's.
        """
        # A prefix such as "a/part-" is text, not a folder: its files are somewhere below "a".
        folder = prefix.rpartition("/")[0]
        with self._mapped(folder, "read"):
            found = [info for info in self._walk(folder) if info.name.startswith(prefix)]
        yield from sorted(found, key=lambda info: info.name)

    def delete(self, name: str) -> None:
        """See Store."""
        with self._mapped(name, "write"), contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            self._path(name).unlink()

    def set_aside(self, name: str) -> str | None:
        """See Store."""
        path, marker = self._path(name), f"-{uuid4().hex[:8]}"
        if path.is_dir():
            return None
        folder, _, last = f"{SET_ASIDE}/{name}".rpartition("/")
        target = f"{folder}/{_shortened(last, NAME_BYTES - len(marker))}{marker}"
        with self._mapped(name, "write"):
            make_folder(self._path(target).parent)
            try:
                os.rename(path, self._path(target))
            except (FileNotFoundError, NotADirectoryError):
                return None
        return target

    def probe(self) -> None:
        """Tries every kind of write below the root, and collects what killed processes have left there.

        Raises:
            StageError: the subclass and message name what is missing: permission, space, or a way to create a file only
                if its name is free.
        """
        path = self.root / temporaries.new_name()
        with self._mapped("", "write"):
            try:
                self._probe(path)
                now = path.stat().st_mtime
            finally:
                path.unlink(missing_ok=True)
        temporaries.collect(self.root, now=now)

    def _probe(self, path: Path) -> None:
        with _temporary(self.root) as first, _temporary(self.root) as second:
            for temporary in (first, second):
                _write(temporary, lambda target: target.write_bytes(b"probe"))
            if not create_once(first, path) or create_once(second, path):
                raise BadInput(f"{self.root}: of two files with one name both were created; {REMEDY}")
            sync_folder(self.root)

    def _create(self, name: str, write: Callable[[Path], object], *, size: int) -> bool:
        path = self._path(name)
        with self._mapped(name, "write", size=size):
            if self._exists(name, path):  # saves writing a large file for nothing; create_once decides
                return False
            with _temporary(path.parent) as temporary:
                _write(temporary, write)
                while not create_once(temporary, path):
                    if self._exists(name, path):
                        return False
                    if path.is_symlink():
                        raise self._conflict(name)
                    # Deleted or set aside in between: the name is free again.
                sync_folder(path.parent)
        return True

    def _path(self, name: str) -> Path:
        path = inside(self.root, name)
        if path.name.startswith(TEMPORARY):
            raise BadInput(f"{path}: names of unfinished files begin with {TEMPORARY}; use another", reason="NameTaken")
        return path

    def _exists(self, name: str, path: Path) -> bool:
        """Whether the object exists.

        Raises:
            BadInput: something that is no object has its name.
        """
        try:
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return False
        if not stat.S_ISREG(mode):
            raise self._conflict(name)
        return True

    def _conflict(self, name: str) -> BadInput:
        path = self.root / name
        taken = next((part for part in (*reversed(path.parents), path) if part.is_file() or _leads_nowhere(part)), path)
        if taken == self.root or taken in self.root.parents:
            return BadInput(f"cannot be used as a store: {taken} is no folder; {REMEDY}", reason="PathUnusable")
        return BadInput(
            f"{path}: cannot be an object, since {taken} exists and is no {'file' if taken == path else 'folder'}; "
            f"move it away, or {OTHER_STORE}",
            reason="NameTaken",
        )

    @contextlib.contextmanager
    def _mapped(self, name: str, action: Literal["read", "write"], *, size: int | None = None) -> Iterator[None]:
        """Names the place in errors of the file system. FileNotFoundError is part of the interface when reading."""
        try:
            yield
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            if action == "read":
                raise FileNotFoundError(f"{self.root / name}: {error.strerror}") from error
            raise self._conflict(name) from error
        except OSError as error:
            if action == "read" and isinstance(error, FileNotFoundError):
                raise
            raise stage_error(error, place=self.root / name, remedy=REMEDY, action=action, needed=size) from error

    def _walk(self, folder: str) -> Iterator[ObjectInfo]:
        """Yields the objects below a folder; what vanishes meanwhile is left out."""
        path = inside(self.root, folder) if folder else self.root
        try:
            entries = list(os.scandir(path))
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith(TEMPORARY) or not _is_name(name):
                continue
            if entry.is_symlink():
                inside(self.root, name)
            # A link to a folder is not followed: its objects are listed where they are, and links can form circles.
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(name)
            elif entry.is_file():
                with contextlib.suppress(FileNotFoundError):
                    yield ObjectInfo(name=name, size=entry.stat().st_size)


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """The path of a temporary file in a folder, which is created; the file is gone afterwards, whatever happened."""
    make_folder(folder)
    temporary = folder / temporaries.new_name()
    try:
        yield temporary
    finally:
        # A disk that fails here must not hide what happened before; a later run collects the file.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _write(temporary: Path, write: Callable[[Path], object]) -> None:
    """Writes a file and waits until its content is on disk."""
    write(temporary)
    with temporary.open("r+b") as file:
        os.fsync(file.fileno())


def _leads_nowhere(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _is_name(name: str) -> bool:
    try:
        return bool(check_name(name))
    except ValueError:
        return False


def _shortened(name: str, limit: int) -> str:
    return name.encode()[:limit].decode(errors="ignore")
