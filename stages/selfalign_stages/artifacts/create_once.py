"""Gives a finished file its name only if the name is free, and makes names survive a power cut.

link(2) fails if the name exists, on local file systems and on NFS. Where there are no hard links (FAT, many FUSE and
SMB mounts), renameat2(2) with RENAME_NOREPLACE promises the same, and a file system that has neither is refused.
Rejected: a lock file created with O_EXCL, which a killed process leaves behind for ever.
"""

import ctypes
import errno
import os
from pathlib import Path

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.file_errors import mount_point

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
"""Errors of link(2) on file systems without hard links; EPERM is that of FAT."""
NO_FLAGS = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
"""Errors of renameat2(2) on file systems without RENAME_NOREPLACE, such as NFS."""
AT_FDCWD, RENAME_NOREPLACE = -100, 1  # from linux/fcntl.h and linux/fs.h
NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
"""Errors of fsync(2) on a folder where the file system writes names through, or cannot write them on request."""


def create_once(temporary: Path, path: Path) -> bool:
    """Gives a file another name, atomically; of several callers one succeeds.

    Args:
        temporary: the file, on the same file system; it may be gone afterwards.
        path: its final name.

    Returns:
        False if the name is taken; nothing is changed then.

    Raises:
        BadInput: the file system cannot do this.
        OSError: as link(2).
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        # A network file system that sends a request again, because the answer was lost, finds its own work done.
        return _same_file(temporary, path)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return _rename_if_free(temporary, path, error)
    return True


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on disk: after that, a power cut cannot take a new file away."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Creates a folder and its parents, and waits until their names are on disk.

    Raises:
        FileExistsError, NotADirectoryError: a file is in the way.
    """
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        if folder.parent == folder:
            break
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_folder(each.parent)


def _rename_if_free(temporary: Path, path: Path, refused: OSError) -> bool:
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    arguments = AT_FDCWD, os.fsencode(temporary), AT_FDCWD, os.fsencode(path), RENAME_NOREPLACE
    code = errno.ENOSYS if renameat2 is None else ctypes.get_errno() if renameat2(*arguments) else 0
    if code == errno.EEXIST:
        return False
    if code in NO_FLAGS:
        raise BadInput(
            f"{path.parent}: the file system {mount_point(path.parent)} has neither hard links ({refused.strerror}) "
            "nor a rename that keeps existing files, so two processes could overwrite each other; use a folder on a "
            "local disk or NFS, or an s3:// store",
            reason="ConditionalPutUnsupported",
        )
    if code:
        raise OSError(code, os.strerror(code), str(path))
    return True


def _same_file(temporary: Path, path: Path) -> bool:
    try:
        return os.path.samestat(temporary.lstat(), path.lstat())
    except FileNotFoundError:
        return False
