"""A small file system of its own, which tests fill up, make read-only, or give few inodes."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, *, mib: int = 4, options: str = "") -> Iterator[Path]:
    """Mounts a tmpfs at a folder, which is created.

    Args:
        folder: the mount point.
        mib: size of the file system.
        options: further mount options, such as nr_inodes=10.
    """
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,{options}".rstrip(","), "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        # lazy: a process that a failed test left behind must not keep the mount
        subprocess.run(["umount", "--lazy", folder], check=True)


def make_read_only(folder: Path) -> None:
    """Remounts the file system."""
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)


def fill(folder: Path, *, leave: int = 0) -> Path:
    """Writes a file that takes the free space but for `leave` bytes; returns its path, to be deleted for space."""
    path = folder / "ballast"
    state = os.statvfs(folder)
    path.write_bytes(bytes(state.f_bavail * state.f_frsize - leave))
    return path
