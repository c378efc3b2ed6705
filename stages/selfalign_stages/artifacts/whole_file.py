"""A file opened for reading, whose end is never mistaken for the end of the object.

A file that somebody truncates, or that a network file system loses while it is read, ends early without an error. The
size at the opening tells the difference: objects never change, so that fewer bytes are always a fault.
"""

import io
import os
import stat
from pathlib import Path
from typing import BinaryIO, cast

from selfalign_stages.contract.exits import Unavailable


def open_whole(path: Path) -> BinaryIO:
    """Opens a regular file for reading.

    Returns:
        A stream that raises Unavailable where a read breaks off before the end.

    Raises:
        FileNotFoundError: there is no regular file of this name.
        OSError: as open(2).
    """
    # Without O_NONBLOCK, opening a named pipe waits for a writer, for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise FileNotFoundError(f"{path}: is no regular file")
    return cast(BinaryIO, io.BufferedReader(_WholeFile(descriptor, path, status.st_size)))


class _WholeFile(io.FileIO):
    """The unbuffered file below the stream; BufferedReader calls `readinto` and `readall`."""

    def __init__(self, descriptor: int, path: Path, size: int) -> None:
        super().__init__(descriptor, "rb")
        self._path, self._size = path, size

    def readinto(self, buffer) -> int | None:  # type: ignore[no-untyped-def] # a WriteableBuffer of typeshed
        try:
            count = super().readinto(buffer)
        except OSError as error:
            raise self._broken_off(str(error.strerror)) from error
        if not count and len(buffer):
            self._check_end()
        return count

    def readall(self) -> bytes:
        try:
            data = super().readall()
        except OSError as error:
            raise self._broken_off(str(error.strerror)) from error
        self._check_end()
        return data or b""

    def _check_end(self) -> None:
        if self.tell() < self._size:
            raise self._broken_off("the file became shorter")

    def _broken_off(self, problem: str) -> Unavailable:
        return Unavailable(
            f"{self._path}: reading broke off at byte {self.tell()} of {self._size} ({problem}); check the disk or the "
            "network file system, and who else writes there",
            reason="ReadBrokeOff",
        )
