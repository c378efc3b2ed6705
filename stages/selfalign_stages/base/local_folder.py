"""Base models in a folder: file:// and builtin://, the latter shipping with the distribution."""

import os
from pathlib import Path

from selfalign_stages.base.source import FIELD, SourceFile
from selfalign_stages.contract.exits import AccessDenied, BadInput


class LocalFolder:
    """A folder, read in place. Links may not leave it, so that a mounted folder cannot name files of the machine."""

    def __init__(self, uri: str, folder: Path) -> None:
        self.uri = uri
        self._folder = folder
        if not folder.is_dir():
            raise BadInput(f"{FIELD} {uri!r}: there is no folder {folder}", reason="BaseModelMissing")
        self._bounds = _bounds(folder)

    def files(self) -> tuple[SourceFile, ...]:
        """See Source."""
        found = []
        for parent, folders, names in os.walk(self._folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(parent, name)
                if path.is_file():
                    found.append(SourceFile(path.relative_to(self._folder).as_posix(), path.stat().st_size))
        return tuple(sorted(found, key=lambda file: file.name))

    def head(self, name: str, size: int) -> bytes:
        """See Source."""
        with self._path(name).open("rb") as file:
            return file.read(size)

    def fetch(self, name: str, folder: Path) -> Path:
        """See Source; `folder` stays as it is."""
        return self._path(name)

    def release(self, path: Path) -> None:
        """See Source; a file in place is kept."""

    def _path(self, name: str) -> Path:
        path = self._folder / name
        if not path.resolve().is_relative_to(self._bounds):
            raise BadInput(
                f"{FIELD} {self.uri!r}: {name} is a link that leaves the folder; put the file itself there",
                reason="PathEscapes",
            )
        if not os.access(path, os.R_OK):
            raise AccessDenied(f"{FIELD} {self.uri!r}: {name} cannot be read by user {os.getuid()}; change its mode")
        return path


def _bounds(folder: Path) -> Path:
    """The folder, or the cached repository around it: a hub cache keeps its snapshots as links into `blobs`."""
    folder = folder.resolve()
    repository = folder.parent.parent
    return repository if folder.parent.name == "snapshots" and (repository / "blobs").is_dir() else folder
