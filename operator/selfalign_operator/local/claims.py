"""Claims: of several runs on one file:// store, one makes an artifact, and the others wait for it.

A claim is a lock (flock) on a file STORE/locks/KIND-KEY, which the runner has while a step's process runs. The kernel
releases it when the runner ends, however it ends, so that no claim outlives a crash. An artifact that is made twice
would do no harm, since the one that is published first counts; claims save the work. A store whose disk has no locks,
or cannot be written, therefore gets none, and the step itself reports what is wrong with the disk.

Stores in S3 have no claims: other machines write there, and no lock would be released when one of them fails.
"""

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from selfalign_operator.local.lock_holder import LockHolder
from selfalign_stages.contract.graph import Kind
from selfalign_stages.contract.task import StoreLocation

OWN_KINDS: tuple[Kind, ...] = ("gate", "push")
"""Kinds that every run carries out itself: the judgement of its own gates, and a push, which changes a registry with
the run's own credentials."""


@dataclass(frozen=True)
class Claim:
    """The right to make an artifact, until it is released.

    Attributes:
        path: the locked file; None where there is nothing to lock.
        descriptor: its open descriptor.
    """

    path: Path | None = None
    descriptor: int = -1

    def release(self) -> None:
        """Gives the artifact free, and removes the file."""
        if self.path is None:
            return
        with contextlib.suppress(OSError):
            self.path.unlink()  # before the lock is released: afterwards it may be another run's
        os.close(self.descriptor)


@dataclass(frozen=True)
class Claims:
    """The claims of one run.

    Attributes:
        folder: folder of the locked files; None if the store is on no disk.
        holder: this run, as others read it.
    """

    folder: Path | None
    holder: LockHolder

    def take(self, kind: Kind | None, key: str) -> Claim | LockHolder:
        """Claims an artifact, without waiting.

        Args:
            kind: kind of the step; None for preflight, which makes no artifact.
            key: key of the artifact.

        Returns:
            The claim, or who has it.
        """
        if self.folder is None or kind is None or kind in OWN_KINDS:
            return Claim()
        path = self.folder / f"{kind}-{key}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            while True:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
                taken = self._lock(descriptor, path)
                if taken is not None:
                    return taken
                os.close(descriptor)
        except OSError:
            return Claim()

    def _lock(self, descriptor: int, path: Path) -> Claim | LockHolder | None:
        """Locks an open file; None if it was removed by the holder before, as it is free then under a new file."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = LockHolder.read(descriptor)
            os.close(descriptor)
            return holder
        except OSError:
            os.close(descriptor)
            raise
        if not _is_at(descriptor, path):
            return None
        with contextlib.suppress(OSError):  # a full disk costs the others the name of the run they wait for
            self.holder.write(descriptor)
        return Claim(path, descriptor)


def claims_in(store: StoreLocation, holder: LockHolder) -> Claims:
    """Returns the claims of a run in its store.

    Args:
        store: the artifact store.
        holder: the run.
    """
    on_disk = store.uri.startswith("file://")
    return Claims(Path(unquote(urlsplit(store.uri).path)) / "locks" if on_disk else None, holder)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
