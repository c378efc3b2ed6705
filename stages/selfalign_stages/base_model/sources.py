"""Defines the interface through which base models are read, whatever place they come from, and reads folders.

A base model enters a run's keys by the digest of its files alone, not by its address: a copy of a model on another
machine or in another bucket reuses the finished steps, and a changed file invalidates them. A source therefore
names the content of every file. It does so without reading large files where the place records a SHA-256 (the hub);
a folder is hashed; S3 records only ETags, so that a model has one digest in S3 and another everywhere else.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from selfalign_stages.artifacts.reading import hash_file
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.model import canonical_json, sha256_digest

# hashlib releases the GIL: four threads read shards side by side; more would only compete for the disk.
HASHING_THREADS = 4


@dataclass(frozen=True)
class SourceFile:
    """One file of a base model.

    Args:
        path: relative to the model's folder, with forward slashes.
        size: bytes.
        content_id: identifies the content: a SHA-256 in hexadecimal, else an S3 ETag or a Git blob id. Empty while
            it is unknown.
    """

    path: str
    size: int
    content_id: str = ""


class Source(Protocol):
    """The files of one base model. All methods raise StageError for what the user can correct or a retry may solve."""

    def list_files(self) -> list[SourceFile]:
        """Lists all files in path order, without reading them; `content_id` may be empty."""

    def with_content_ids(self, files: Sequence[SourceFile]) -> list[SourceFile]:
        """Returns `files` in their order, each with its `content_id`; reads those whose place records none."""

    def read(self, path: str) -> bytes:
        """Returns the content of a small file."""

    def fetch(self, path: str, target: Path) -> None:
        """Creates `target` with the file's content, or as a link to it; the caller verifies it."""


@dataclass(frozen=True)
class FolderSource:
    """Reads builtin:// and file:// models.

    Symbolic links that leave the folder are refused: a folder that others can write to, mounted into a pod, could
    otherwise name any file that the pod can read, such as its service account token, as a part of the model.
    """

    folder: Path

    def list_files(self) -> list[SourceFile]:
        """Lists all files in path order, without hidden files and folders such as .git."""
        # Hidden folders, such as .git of a clone, can contain second copies of the weights.
        names = [path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file()]
        visible = [name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts)]
        return [SourceFile(path=name, size=(self.folder / name).stat().st_size) for name in sorted(visible)]

    def with_content_ids(self, files: Sequence[SourceFile]) -> list[SourceFile]:
        """Returns `files` with the SHA-256 of their content; reads all of them."""
        with ThreadPoolExecutor(HASHING_THREADS) as pool:
            digests = pool.map(lambda file: hash_file(self._inside(file.path))[1], files)
            return [replace(file, content_id=digest) for file, digest in zip(files, digests, strict=True)]

    def read(self, path: str) -> bytes:
        """Returns the content of a small file."""
        return self._inside(path).read_bytes()

    def fetch(self, path: str, target: Path) -> None:
        """Creates `target` as a link, since the file is on this machine already."""
        # Resolved, so that the link works from another folder.
        target.symlink_to(self._inside(path).resolve())

    def _inside(self, path: str) -> Path:
        file = self.folder / path
        if not file.resolve().is_relative_to(_allowed_root(self.folder.resolve())):
            raise BadInput(
                f"spec.baseModel.uri: {path} is a link that leaves {self.folder}; put the file itself there",
                reason="PathEscapes",
            )
        return file


def fingerprint(files: Sequence[SourceFile]) -> str:
    """Returns the leaf digest of a base model, on which the keys of all steps depend.

    It covers path, size and content id of every file in `files`, in any order. A change of the formula would
    invalidate every finished step of every user.
    """
    # Lists without field names: attributes of SourceFile can be renamed.
    rows = sorted([file.path, file.size, file.content_id] for file in files)
    return sha256_digest(canonical_json(rows))


def is_sha256(content_id: str) -> bool:
    """Whether a content id is a SHA-256, which can be compared with downloaded bytes; an ETag or blob id cannot."""
    return len(content_id) == hashlib.sha256().digest_size * 2 and set(content_id) <= set("0123456789abcdef")


def _allowed_root(folder: Path) -> Path:
    """Returns the folder that links may not leave: a cached Hub repository where `folder` is a snapshot in one.

    The cache of huggingface_hub keeps contents in REPOSITORY/blobs, and snapshots as links to them.
    """
    repository = folder.parent.parent
    return repository if folder.parent.name == "snapshots" and (repository / "blobs").is_dir() else folder
