"""The interface of artifact stores: create-once objects under one root, on a file system or in S3.

Steps and their tests depend on this protocol alone. It is as small as S3 and a shared folder both allow: no rename, no
append, no lock. What replaces locks is `put`, which creates an object only if its name is free; everything that must
happen exactly once (a chunk, a manifest) is built on it.

Every method that reaches a server may raise, besides what it documents:

- AccessDenied: the credentials are missing, wrong or lack a permission;
- BadInput: the bucket does not exist, or the server lacks a feature that the store needs;
- Unavailable: the server is down or throttles, after the client's own retries. A rerun of the step resumes.

- DoesNotFit: the disk or the quota of the store is full.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

SET_ASIDE = "set-aside"
"""Folder of damaged objects at the store's root. Nothing reads them; people may read and delete them."""


@dataclass(frozen=True)
class ObjectInfo:
    """One entry of a listing.

    Attributes:
        name: path below the store's root, with / as separator.
        size: bytes.
        etag: the server's tag of the content, which changes when the content does; "" for stores without one.
    """

    name: str
    size: int
    etag: str = ""


class Store(Protocol):
    """Objects by name, which is a path below the store's root with / as separator."""

    def open(self, name: str) -> BinaryIO:
        """Opens an object for reading.

        An object is visible only when it is complete.

        Returns:
            A stream of the object's bytes, to be closed by the caller; not necessarily seekable. It ends only where
            the object ends: a read that breaks off raises Unavailable instead of seeming to be the end. Whether the
            bytes are those that were put is for the reader to check, by a digest (artifacts.reading).

        Raises:
            FileNotFoundError: there is no such object.
        """

    def put(self, name: str, data: bytes) -> bool:
        """Creates an object, atomically and only if its name is free.

        Of several concurrent writers exactly one succeeds, and no reader sees part of the data.

        Returns:
            True if this call created the object. False, with nothing changed, if it exists already: the caller must
            go on with the stored object, which may differ from `data`.
        """

    def put_file(self, name: str, path: Path) -> bool:
        """Creates an object from a file, in bounded memory; atomicity and result as in `put`.

        Args:
            name: name of the object.
            path: local file, which must not change meanwhile.
        """

    def replace(self, name: str, data: bytes) -> None:
        """Writes an object atomically, whether or not it exists; of concurrent writers the last one wins.

        For objects that are allowed to change, such as a checkpoint's file list. Never for files of an artifact, which
        others may have read already.
        """

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Lists all objects whose name starts with `prefix`, in name order.

        The prefix is compared as text: `a/b` also matches `a/bc`. Objects created or deleted meanwhile may or may not
        be part of the listing; an object that existed before the call and still does always is.
        """

    def delete(self, name: str) -> None:
        """Removes an object; does nothing if there is none. For checkpoints that a newer one has replaced."""

    def set_aside(self, name: str) -> str | None:
        """Moves an object that is damaged out of the way of readers and writers; its bytes are kept.

        Returns:
            The object's new name below SET_ASIDE; None if there is no such object, as when another process was first.
        """

    def probe(self) -> None:
        """Checks before a run that the store can be written: creates an object and removes it.

        Raises:
            StageError: the subclass and message name what is missing: permission, space, or conditional writes.
        """
