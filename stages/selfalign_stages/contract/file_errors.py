"""Turns an error of a file system into a StageError that names the place, how much of it is free, and a remedy.

The system's own text does not help: "No space left on device" names no device, and its exception names no file, or, of
a copy, the file that was read. The exit code follows from the errno: a disk that is full or read-only stays so for
every further attempt, while a network file system that is away comes back.
"""

import errno
import os
import resource
from pathlib import Path
from typing import Literal

from selfalign_stages.contract.exits import AccessDenied, BadInput, DoesNotFit, StageError, Unavailable

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk is full, the user's quota is used up, or the file exceeds a limit on the size of files."""
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
"""The user or the whole file system may not do this."""
AWAY = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EREMOTEIO, errno.ENODEV)
"""A disk or a network file system does not answer as it should."""
NO_FOLDER = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""Something is in the way of the path, or it cannot exist."""
TEXTS_OF_FULL = ("no space left on device", "os error 28)", "disk quota exceeded", "os error 122)", "iostream error")
"""How libraries outside Python report it, in lower case: tokenizers and safetensors by Rust's text, torch.save by that
of C++, which is the same for a disk that fails otherwise."""
FEWEST_INODES = 100
"""Files that a file system must still take: a run writes several hundred, and each write may need a few at once."""
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def stage_error(
    error: OSError, *, place: Path, remedy: str, action: Literal["read", "write"] = "write", needed: int | None = None
) -> StageError:
    """Returns the StageError for an error of the file system.

    Args:
        error: the error.
        place: file or folder that was read or written; need not exist.
        remedy: what to do, as the continuation of a sentence.
        action: what was tried.
        needed: bytes that had to be written, None if unknown.
    """
    text = error.strerror or str(error)
    if error.errno in FULL:
        return full(error, place=place, remedy=remedy, needed=needed)
    if error.errno == errno.EROFS:
        return AccessDenied(f"{place}: the file system {mount_point(place)} is read-only; {remedy}")
    if error.errno in REFUSED:
        return AccessDenied(f"{place}: user {os.geteuid()} may not {action} there ({text}); {remedy}")
    if error.errno in AWAY:
        return Unavailable(
            f"{place}: cannot {action} there ({text}); check the disk or the network of {mount_point(place)}"
        )
    if error.errno in NO_FOLDER:
        obstacle = _obstacle(place)
        problem = f"{obstacle} is no folder" if obstacle else text
        return BadInput(f"{place}: cannot be used: {problem}; {remedy}", reason="PathUnusable")
    return StageError(f"{place}: {text}", reason="Crash")


def full(error: BaseException, *, place: Path, remedy: str, needed: int | None = None) -> DoesNotFit:
    """Returns the StageError of a place that is full.

    Args:
        error: the error; its errno tells a quota and a limit on files from a full disk.
        place: file or folder that was written; need not exist.
        remedy: what to do, as the continuation of a sentence.
        needed: bytes that had to be written, None if unknown.
    """
    code = getattr(error, "errno", None)
    needs = f" {size_text(needed)} are needed," if needed else ""
    if code == errno.EFBIG:
        limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        if limit != resource.RLIM_INFINITY:
            return DoesNotFit(
                f"{place}:{needs} files of this process may have {size_text(limit)}; raise the limit (ulimit -f)"
            )
        return DoesNotFit(f"{place}: a file of this size does not fit the file system {mount_point(place)}; {remedy}")
    mount = mount_point(place)
    if code == errno.EDQUOT:
        return DoesNotFit(f"{place}:{needs} the quota of user {os.geteuid()} on {mount} is used up; {remedy}")
    state = os.statvfs(mount)
    if few_inodes(state):
        left = f"{state.f_favail} more files (inodes), whatever their size"
        return DoesNotFit(f"{place}: the file system {mount} can take {left}; {remedy}")
    free, size = size_text(state.f_bavail * state.f_frsize), size_text(state.f_blocks * state.f_frsize)
    return DoesNotFit(f"{place}: the file system {mount} ran full;{needs} {free} of {size} are free now; {remedy}")


def cause_of_full(error: BaseException) -> BaseException | None:
    """The exception that reports a full disk: this one, one that it was raised from, None if there is none."""
    cause: BaseException | None = error
    while cause is not None:
        text = str(cause).lower()
        if (isinstance(cause, OSError) and cause.errno in FULL) or any(known in text for known in TEXTS_OF_FULL):
            return cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return None


def few_inodes(state: os.statvfs_result) -> bool:
    """Whether a file system can take hardly any more files. Those that make inodes as they need them report none."""
    return bool(state.f_files) and state.f_favail < FEWEST_INODES


def mount_point(path: Path) -> Path:
    """The mount point of the file system on which a path lies, or would lie: a full disk is known by its mount."""
    path = existing(path)
    device = path.stat().st_dev
    while path.parent != path and path.parent.stat().st_dev == device:
        path = path.parent
    return path


def existing(path: Path) -> Path:
    """The path itself, or the nearest of its parents that exists, links resolved."""
    path = Path(os.path.realpath(path))
    while path.parent != path and not os.path.exists(path):
        path = path.parent
    return path


def size_text(count: float) -> str:
    """A number of bytes for people, such as 3.2 GiB."""
    power = 0
    while count >= 1024 and power < len(UNITS) - 1:
        count, power = count / 1024, power + 1
    return f"{count:.0f} {UNITS[power]}" if power == 0 else f"{count:.1f} {UNITS[power]}"


def _obstacle(place: Path) -> Path | None:
    """The first part of a path that exists and is no folder."""
    parts = (*reversed(place.parents), place)
    return next((part for part in parts if os.path.exists(part) and not part.is_dir()), None)
