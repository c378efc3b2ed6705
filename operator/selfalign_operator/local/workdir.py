"""The working folder of local runs: where its files are, and the lock that admits one `selfalign run` at a time.

Layout below the folder, which is .selfalign by default:

    store/                     artifacts, shared by all runs, unless the manifest names a store
    runs/RUN/STEP-ATTEMPT/     task.json and result.json
    runs/RUN/retry             steps that are made anew, if there are any
    logs/RUN/STEP-ATTEMPT.log  output of the stage process
    scratch/RUN/STEP/          temporary files of a running step
    lock                       run, process id, host and start of the command that is running
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from selfalign_operator.local.lock_holder import LockHolder
from selfalign_stages.contract.exits import BadInput, StageError
from selfalign_stages.contract.file_errors import mount_point, stage_error


class WorkdirInUse(StageError):
    """Another process has locked the working folder. The message names it, and what to do."""

    code = os.EX_TEMPFAIL


REMEDY = "free space or permit it there, or use another --workdir"


@dataclass(frozen=True)
class Workdir:
    """Paths of one run.

    Attributes:
        root: the working folder.
        run: metadata.name of the run, so that runs of several manifests do not mix.
    """

    root: Path
    run: str

    @property
    def store_uri(self) -> str:
        """URI of the artifact store for a manifest that names none."""
        return (self.root / "store").as_uri()

    def log(self, id_: str, attempt: int) -> Path:
        """Returns the file for an attempt's standard output and standard error."""
        return self.root / "logs" / self.run / f"{id_}-{attempt}.log"

    def messages(self, id_: str, attempt: int) -> Path:
        """Returns the folder for an attempt's task.json and result.json."""
        return self.root / "runs" / self.run / f"{id_}-{attempt}"

    @property
    def retry(self) -> Path:
        """The file with the steps that are made anew (`retry_file`)."""
        return self.root / "runs" / self.run / "retry"

    def scratch(self, id_: str) -> Path:
        """Returns the folder for a step's temporary files; removed when the attempt ends."""
        return self.root / "scratch" / self.run / id_


def at(folder: Path, run: str) -> Workdir:
    """Returns the paths of a run below a folder, which need not exist.

    Raises:
        BadInput: the folder is relative, and the current directory has been deleted.
    """
    try:
        # not Path.resolve, which raises RuntimeError for links that lead in a circle; `locked` reports those
        return Workdir(Path(os.path.realpath(folder)), run)
    except FileNotFoundError as error:
        raise BadInput(f"{folder}: the current directory no longer exists; change to another one") from error


@contextmanager
def locked(workdir: Workdir) -> Iterator[None]:
    """Locks the working folder, and removes what a killed command has left in it.

    flock and not a file that exists: the kernel releases the lock when the process ends, however it ends, so there are
    no stale locks. What is in the file is for the message only.

    Raises:
        WorkdirInUse: another process has locked the folder.
        BadInput: its file system has no locks, or its path is no folder.
        AccessDenied: the folder cannot be written.
        DoesNotFit: its disk is full.
    """
    try:
        workdir.root.mkdir(parents=True, exist_ok=True)
        # creates the file and, unlike O_TRUNC, keeps what the holder of the lock has written
        lock = os.open(workdir.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise stage_error(error, place=Path(error.filename or workdir.root), remedy=REMEDY) from error
    try:
        _lock(workdir.root, lock, run=workdir.run)
        _collect(workdir.root)
        yield
    finally:
        os.close(lock)


def _lock(root: Path, lock: int, *, run: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkdirInUse(
            f"{root} is in use by {LockHolder.read(lock)}: wait until it ends, or use another --workdir"
        ) from None
    except OSError as error:
        raise BadInput(
            f"{root}: the file system {mount_point(root)} cannot lock files ({error.strerror}), so that two commands "
            "would disturb each other; use a --workdir on a local disk",
            reason="WorkdirUnusable",
        ) from error
    try:
        # only now, with the lock: before, the holder's own entry would be lost
        LockHolder.of_this_process(run).write(lock)
    except OSError as error:
        raise stage_error(error, place=root, remedy=REMEDY) from error


def _collect(root: Path) -> None:
    """Removes scratch files and half-written results of attempts that were killed together with their command.

    Under the lock no attempt runs: the kernel ends stage processes with the command that started them.
    """
    # The folders' content and not the folders, which may be links to a larger disk.
    for scratch in (root / "scratch").glob("*/*"):
        shutil.rmtree(scratch, ignore_errors=True)
    for partial in (root / "runs").glob("*/*/*.partial"):
        with contextlib.suppress(OSError):
            partial.unlink()
