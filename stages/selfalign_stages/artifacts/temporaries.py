"""Names of files that are being written, and the collection of those whose writer is gone.

A process that is killed, or loses power, leaves its temporary file behind: for a shard of weights that is gigabytes.
Whether the writer still lives is known only on its own machine, so that the name says which process of which machine
wrote it. Files of other machines, which share the store over a network, are collected when nothing has been written to
them for a day.
"""

import contextlib
import hashlib
import os
import uuid
from functools import cache
from pathlib import Path

TEMPORARY = ".tmp-"
"""Prefix of files that are being written; no object has such a name, and listings skip them."""
ABANDONED_SECONDS = 24 * 3600
"""Age from the last write at which a file counts as abandoned, whoever wrote it. Copying a file never pauses so long;
a writer that did would fail to give it its name, and its step would be repeated."""
BOOT_ID, PROCESS_NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


def new_name() -> str:
    """A name that no other process uses."""
    return f"{TEMPORARY}{_machine()}-{os.getpid()}-{uuid.uuid4().hex}"


def collect(root: Path, *, now: float) -> None:
    """Deletes the abandoned temporary files below a folder. What cannot be deleted stays for the next time.

    Args:
        root: the folder. Links are not followed.
        now: the time by the clock of this file system, in seconds since the epoch: a file server's clock may be wrong.
    """
    for folder, _, files in os.walk(root):
        for name in files:
            if name.startswith(TEMPORARY):
                path = Path(folder, name)
                with contextlib.suppress(OSError):
                    if _writer_ended(name) or now - path.lstat().st_mtime > ABANDONED_SECONDS:
                        path.unlink()


def _writer_ended(name: str) -> bool:
    """Whether the process that a name states is one of this machine and no longer exists."""
    machine, _, rest = name.removeprefix(TEMPORARY).partition("-")
    process = rest.partition("-")[0]
    if machine != _machine() or not process.isdecimal():
        return False
    try:
        os.kill(int(process), 0)  # signal 0 sends nothing and reports whether the process exists (kill(2))
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False


@cache
def _machine() -> str:
    """Identifies the boot of a kernel and the process namespace: where process ids mean the same processes.

    A host name would not do: containers of one Deployment may share theirs, and each counts its processes from 1.
    """
    parts = BOOT_ID.read_text().strip(), os.readlink(PROCESS_NAMESPACE)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
