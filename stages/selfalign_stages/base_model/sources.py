"""Places that base models come from, behind one small interface: list, identify, read, fetch."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from selfalign_stages.artifacts.reading import hash_file
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.model import canonical_json, sha256_digest

HASHING_THREADS = 4


@dataclass(frozen=True)
class SourceFile:
    """A file of a model; `mark` identifies its content: a SHA-256 where the place knows one, else its own tag."""

    path: str
    size: int
    mark: str = ""


class Source(Protocol):
    """A model's files at one place."""

    def listing(self) -> list[SourceFile]:
        """All files, in path order; reads none of them, so marks may be empty."""

    def identify(self, files: Sequence[SourceFile]) -> list[SourceFile]:
        """The same files with their marks."""

    def read(self, path: str) -> bytes:
        """A small file's content."""

    def fetch(self, path: str, target: Path) -> None:
        """Puts a file's content at `target`."""


@dataclass(frozen=True)
class FolderSource:
    """builtin:// and file://. Links that leave the folder are refused: a mounted folder must not name other files."""

    folder: Path

    def listing(self) -> list[SourceFile]:
        """See Source; hidden files and folders are left out."""
        names = [path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file()]
        shown = sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))
        return [SourceFile(path=name, size=(self.folder / name).stat().st_size) for name in shown]

    def identify(self, files: Sequence[SourceFile]) -> list[SourceFile]:
        """See Source; marks are SHA-256."""
        with ThreadPoolExecutor(HASHING_THREADS) as pool:
            digests = pool.map(lambda file: hash_file(self._inside(file.path))[1], files)
            return [replace(file, mark=digest) for file, digest in zip(files, digests, strict=True)]

    def read(self, path: str) -> bytes:
        """See Source."""
        return self._inside(path).read_bytes()

    def fetch(self, path: str, target: Path) -> None:
        """See Source; a link, since the file is on this machine already."""
        target.symlink_to(self._inside(path).resolve())

    def _inside(self, path: str) -> Path:
        file = self.folder / path
        if not file.resolve().is_relative_to(_bounds(self.folder.resolve())):
            raise BadInput(
                f"spec.baseModel.uri: {path} is a link that leaves {self.folder}; put the file itself there",
                reason="PathEscapes",
            )
        return file


def fingerprint(files: Sequence[SourceFile]) -> str:
    """Digest over paths, sizes and marks: what keys of the run depend on."""
    rows = sorted([file.path, file.size, file.mark] for file in files)
    return sha256_digest(canonical_json(rows))


def is_sha256(mark: str) -> bool:
    """Whether a mark is the SHA-256 of the content."""
    return len(mark) == hashlib.sha256().digest_size * 2 and all(c in "0123456789abcdef" for c in mark)


def _bounds(folder: Path) -> Path:
    """The folder, or the cached repository around it: a hub's cache keeps snapshots as links into `blobs`."""
    repository = folder.parent.parent
    return repository if folder.parent.name == "snapshots" and (repository / "blobs").is_dir() else folder
