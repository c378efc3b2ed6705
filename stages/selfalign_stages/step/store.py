"""The store that artifacts live in: create-once objects under one root, on a file system or in S3."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


@dataclass(frozen=True)
class ObjectInfo:
    """Name below the store's root, size in bytes, and the store's own tag of the content where it has one."""

    name: str
    size: int
    etag: str = ""


class Store(Protocol):
    """Objects by name. A name is written once: of several writers one wins and the others are told so."""

    def open(self, name: str) -> BinaryIO:
        """A stream of the object's bytes; FileNotFoundError if there is none."""

    def put(self, name: str, data: bytes) -> bool:
        """Creates the object; False, with nothing changed, if it is there already."""

    def put_file(self, name: str, path: Path) -> bool:
        """Creates the object from a file in bounded memory; False if it is there already."""

    def replace(self, name: str, data: bytes) -> None:
        """Writes the object whether or not it is there: for run reports only, never below cas/."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose name starts with `prefix`, in name order."""

    def delete(self, name: str) -> None:
        """Removes the object if it is there: for checkpoints that a newer one has replaced."""

    def probe(self) -> None:
        """Tries every kind of write; raises the StageError that names what is missing."""
