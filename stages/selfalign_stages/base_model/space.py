"""Checks free disk space before a file is fetched, instead of failing half an hour into a download."""

import os
from collections.abc import Sequence
from pathlib import Path

from selfalign_stages.artifacts import checked
from selfalign_stages.base_model.quoting import shown
from selfalign_stages.contract.exits import DoesNotFit


def require(folders: Sequence[Path], size: int, *, path: str) -> None:
    """Checks that each of the folders can take a file; those on one file system need the space together.

    Args:
        folders: each of them gets a copy; one that does not exist yet will be on the file system of its parent.
        size: bytes of the file; less than 0 if unknown, which is no reason to refuse it.
        path: the file's name in the model, for the message.

    Raises:
        DoesNotFit: there is less free space.
    """
    places: dict[int, list[Path]] = {}
    for folder in folders:
        existing = next(one for one in (folder, *folder.parents) if one.exists())
        places.setdefault(os.stat(existing).st_dev, []).append(existing)
    for shared in places.values():
        needed, free = size * len(shared), checked.free_bytes(shared[0])
        if needed > free:
            raise too_small(shared[0], f"{shown(path)} needs {_mib(needed)} of disk and {_mib(free)} are free")


def too_small(folder: Path, problem: str) -> DoesNotFit:
    """The error of a folder without room for a file of the base model."""
    return DoesNotFit(
        f"{folder}: the base model's {problem}; free space there, or run where more is", reason="DiskTooSmall"
    )


def _mib(size: int) -> str:
    return f"{size >> 20} MiB"
