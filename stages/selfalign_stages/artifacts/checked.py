"""Reads objects and checks what arrives; a difference is read again before it counts.

Bytes get lost and change between a writer and a reader: in memory and on disks, in caches and gateways in between, and
by people who edit a bucket. What a single read returns cannot tell these apart. If a repeated read is right, the
transfer was at fault and nothing else happens. If every read returns the same wrong bytes, the stored object is damaged
and has to be made again. If each returns others, something on the way is broken, and nothing is known of the object.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from selfalign_stages.contract.exits import Unavailable
from selfalign_stages.contract.manifest import FileEntry
from selfalign_stages.contract.model import sha256_hex
from selfalign_stages.step.store import Store

READS = 3
"""Reads of an object that arrives wrong. Damage in transfer is rare, so that two in a row already have one cause."""
BLOCK = 1 << 20
"""Bytes per read of a stream: bounds memory, and is large enough that hashing and the network dominate."""


class Damaged(Exception):
    """A stored object is not what was written.

    Args:
        name: name of the object in the store.
        problem: how it differs.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name, self.problem = name, problem


def read(store: Store, name: str, problem: Callable[[bytes], str | None]) -> bytes:
    """Reads an object into memory.

    Args:
        store: the object's store.
        name: its name.
        problem: how the bytes differ from what was written, None if they do not.

    Raises:
        FileNotFoundError: there is no such object.
        Damaged: every read returned the same wrong bytes.
        Unavailable: the reads returned different wrong bytes.
    """
    data = b""

    def attempt() -> tuple[str | None, str]:
        nonlocal data
        with store.open(name) as stream:
            data = stream.read()
        return problem(data), sha256_hex(data)

    _settle(name, attempt)
    return data


def fetch(store: Store, name: str, entry: FileEntry, target: Path) -> None:
    """Downloads an object to a file, which exists only with the right bytes.

    Args:
        store: the object's store.
        name: its name.
        entry: size and digest of what was written.
        target: file to create or replace; its folder exists.

    Raises:
        FileNotFoundError, Damaged, Unavailable: as in `read`.
    """
    # Renamed only when verified, so that a file under its final name is always whole.
    partial = target.with_name(target.name + ".partial")

    def attempt() -> tuple[str | None, str]:
        with store.open(name) as source, partial.open("wb") as sink:
            size, digest = copy_hashing(source, sink)
        return difference(entry, size=size, sha256=digest), digest

    try:
        _settle(name, attempt)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def measure(store: Store, name: str, entry: FileEntry) -> None:
    """Reads a whole object in blocks and compares it; arguments and errors as in `fetch`."""

    def attempt() -> tuple[str | None, str]:
        with store.open(name) as source:
            size, digest = copy_hashing(source, None)
        return difference(entry, size=size, sha256=digest), digest

    _settle(name, attempt)


def difference(entry: FileEntry, *, size: int, sha256: str) -> str | None:
    """Describes how bytes differ from what a manifest lists; None if they do not.

    Args:
        entry: the file as it is listed.
        size: bytes.
        sha256: their hexadecimal digest.
    """
    if (size, sha256) == (entry.size, entry.sha256):
        return None
    return f"has sha256 {sha256[:12]} and {size} bytes, {entry.sha256[:12]} and {entry.size} were written"


def copy_hashing(source: BinaryIO, sink: BinaryIO | None) -> tuple[int, str]:
    """Copies a stream and hashes it on the way, so that the content is read once.

    Args:
        source: read to its end.
        sink: None only hashes.

    Returns:
        Bytes copied and their SHA-256 in hexadecimal.
    """
    sha, size = hashlib.sha256(), 0
    while block := source.read(BLOCK):
        sha.update(block)
        size += len(block)
        if sink is not None:
            sink.write(block)
    return size, sha.hexdigest()


def hash_file(path: Path) -> tuple[int, str]:
    """Returns size in bytes and hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
    return path.stat().st_size, digest


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write below a folder."""
    return shutil.disk_usage(folder).free


def _settle(name: str, attempt: Callable[[], tuple[str | None, str]]) -> None:
    """Repeats a read until it is right.

    Args:
        name: name of the object.
        attempt: reads the object; returns what is wrong with it, and the digest of what arrived.
    """
    arrived = set()
    for _ in range(READS):
        problem, digest = attempt()
        if problem is None:
            return
        arrived.add(digest)
    assert problem is not None
    if len(arrived) == 1:
        raise Damaged(name, problem)
    raise Unavailable(
        f"{name}: arrived with other bytes at each of {READS} reads, the last of which {problem}; check the network "
        "and whatever lies between here and the store",
        reason="ReadsDiffer",
    )
