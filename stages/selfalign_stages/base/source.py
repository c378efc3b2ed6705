"""What every source of base models offers to inspection and import: a listing, the start of a file, a whole file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from selfalign_stages.contract.model import canonical_json, sha256_hex

FIELD = "spec.baseModel.uri"


@dataclass(frozen=True)
class SourceFile:
    """A file by its name below the source's root. `digest` is None where only reading the file tells it."""

    name: str
    size: int
    digest: str | None = None


class Source(Protocol):
    """A base model somewhere else. Errors are the contract's and name spec.baseModel."""

    uri: str

    def files(self) -> tuple[SourceFile, ...]:
        """All files, in name order; nothing is downloaded."""

    def head(self, name: str, size: int) -> bytes:
        """The first `size` bytes of a file, or all of a shorter one."""

    def fetch(self, name: str, folder: Path) -> Path:
        """A local path of the whole file: in place where it is local, below `folder` otherwise."""

    def release(self, path: Path) -> None:
        """Frees what `fetch` took."""


def fingerprint(files: Mapping[str, SourceFile]) -> str:
    """One digest over names, sizes and digests; the leaf digest `baseModel` that keys are made of."""
    rows = [[name, file.size, file.digest] for name, file in sorted(files.items())]
    return "sha256:" + sha256_hex(canonical_json(rows))
