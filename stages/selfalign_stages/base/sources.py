"""Places that base models come from, behind one small interface: list, read, fetch."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from selfalign_stages import builtin
from selfalign_stages.artifacts.reading import hash_file
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.model import canonical_json, sha256_hex
from selfalign_stages.contract.task import Leaf


@dataclass(frozen=True)
class SourceFile:
    """A file of a model; `mark` identifies its content: a SHA-256 where the place knows one, else its own tag."""

    path: str
    size: int
    mark: str


class Source(Protocol):
    """A model's files at one place."""

    def listing(self) -> list[SourceFile]:
        """All files, in path order."""

    def read(self, path: str) -> bytes:
        """A small file's content."""

    def fetch(self, path: str, target: Path) -> None:
        """Writes a file's content to `target`."""


@dataclass(frozen=True)
class FolderSource:
    """builtin:// and file://; links that leave the folder are refused."""

    folder: Path

    def listing(self) -> list[SourceFile]:
        """See Source; marks are SHA-256."""
        found = []
        for path in sorted(p for p in self.folder.rglob("*") if p.is_file()):
            name = path.relative_to(self.folder).as_posix()
            if not path.resolve().is_relative_to(self.folder.resolve()):
                raise BadInput(f"spec.baseModel.uri: {name} is a link that leaves {self.folder}", reason="PathEscapes")
            if not any(part.startswith(".") for part in name.split("/")):
                size, digest = hash_file(path)
                found.append(SourceFile(path=name, size=size, mark=digest))
        return found

    def read(self, path: str) -> bytes:
        """See Source."""
        return (self.folder / path).read_bytes()

    def fetch(self, path: str, target: Path) -> None:
        """See Source."""
        shutil.copyfile(self.folder / path, target)


def open_source(leaf: Leaf) -> Source:
    """The source that a base model's leaf names; BadInput for an unknown scheme or a missing folder."""
    scheme, _, rest = leaf.uri.partition("://")
    if scheme == "builtin":
        return FolderSource(builtin.folder("models", rest))
    if scheme == "file":
        folder = Path(unquote(urlsplit(leaf.uri).path))
        if not folder.is_dir():
            raise BadInput(f"spec.baseModel.uri {leaf.uri!r}: there is no such folder", reason="BaseModelMissing")
        return FolderSource(folder)
    if scheme == "s3":
        from selfalign_stages.base.bucket import BucketSource

        return BucketSource.of(leaf.uri)
    if scheme == "hf":
        from selfalign_stages.base.hub import HubSource

        return HubSource.of(rest, revision=leaf.revision)
    raise BadInput(f"spec.baseModel.uri {leaf.uri!r}: use hf://, s3://, file:// or builtin://", reason="UnknownScheme")


def fingerprint(files: list[SourceFile]) -> str:
    """Digest over paths, sizes and marks: what keys of the run depend on."""
    return "sha256:" + sha256_hex(canonical_json([[file.path, file.size, file.mark] for file in files]))


def is_sha256(mark: str) -> bool:
    """Whether a mark is the SHA-256 of the content."""
    return len(mark) == hashlib.sha256().digest_size * 2 and all(c in "0123456789abcdef" for c in mark)
