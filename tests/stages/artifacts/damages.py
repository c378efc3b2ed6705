"""Damage to stored bytes, and a store that damages what it reads."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from selfalign_stages.artifacts.file_store import FileStore
from selfalign_stages.step.store import SET_ASIDE, ObjectInfo


def flipped(data: bytes, bit: int) -> bytes:
    """The bytes with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def apply(path: Path, damage: str) -> bytes:
    """Damages a file in place: flip, truncate, extend or empty; returns its new content."""
    data = path.read_bytes()
    damaged = {"flip": flipped(data, len(data) * 4), "truncate": data[:-5], "extend": data + b"x", "empty": b""}[damage]
    path.write_bytes(damaged)
    return damaged


def set_aside(store: Path) -> list[Path]:
    """The objects of a file store that were set aside."""
    return sorted(path for path in (store / SET_ASIDE).rglob("*") if path.is_file())


class Unreliable(FileStore):
    """A file store whose first reads are wrong, each in another place, as through a broken cable.

    Args:
        behind: the store to read from.
        wrong_reads: how many reads are wrong.
    """

    def __init__(self, behind: FileStore, *, wrong_reads: int) -> None:
        super().__init__(behind.root)
        self._left = wrong_reads

    def open(self, name: str) -> BinaryIO:
        """See Store."""
        with super().open(name) as stream:
            data = stream.read()
        if self._left == 0:
            return io.BytesIO(data)
        self._left -= 1
        return io.BytesIO(flipped(data, self._left % (len(data) * 8)))


def everything(store: FileStore) -> Iterator[ObjectInfo]:
    """All objects but those that were set aside."""
    return (info for info in store.list("") if not info.name.startswith(f"{SET_ASIDE}/"))
