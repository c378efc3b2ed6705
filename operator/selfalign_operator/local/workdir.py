"""The working folder of local runs: where its files are, and the lock that admits one `selfalign run` at a time.

Layout below the folder, which is .selfalign by default:

    store/                     artifacts, shared by all runs, unless the manifest names a store
    runs/RUN/STEP-ATTEMPT/     task.json and result.json
    logs/RUN/STEP-ATTEMPT.log  output of the stage process
    scratch/RUN/STEP/          temporary files of a running step
    lock                       process id of the command that is running
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from selfalign_stages.contract.exits import BadInput


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

    def scratch(self, id_: str) -> Path:
        """Returns the folder for a step's temporary files; removed when the attempt ends."""
        return self.root / "scratch" / self.run / id_


@contextmanager
def locked(workdir: Workdir) -> Iterator[None]:
    """Locks the working folder.

    flock and not a file that exists: the kernel releases the lock when the process ends, however it ends, so there are
    no stale locks. The process id in the file is for the message only.

    Raises:
        BadInput: another process has locked the folder.
    """
    workdir.root.mkdir(parents=True, exist_ok=True)
    path = workdir.root / "lock"
    with path.open("a+") as file:  # a+ creates the file and, unlike w, keeps the id of the process that has the lock
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise BadInput(
                f"{workdir.root} is in use by process {holder}: wait until it ends, or use another --workdir",
                reason="WorkdirInUse",
            ) from None
        # only now, with the lock: before, the id of the process that has it would be lost
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
