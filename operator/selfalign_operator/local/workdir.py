"""The folder that a local run works in, and the lock that keeps a second run out of it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from selfalign_stages.contract.exits import BadInput


@dataclass(frozen=True)
class Workdir:
    """Paths below the working folder; `run` is the run's name."""

    root: Path
    run: str

    @property
    def store_uri(self) -> str:
        """Where artifacts lie unless the manifest names a store."""
        return (self.root / "store").as_uri()

    def log(self, id_: str, attempt: int) -> Path:
        """Standard output and error of an attempt."""
        return self.root / "logs" / self.run / f"{id_}-{attempt}.log"

    def messages(self, id_: str, attempt: int) -> Path:
        """Folder of an attempt's task file and result."""
        return self.root / "runs" / self.run / f"{id_}-{attempt}"

    def scratch(self, id_: str) -> Path:
        """Folder that an attempt may fill; removed when it ends."""
        return self.root / "scratch" / self.run / id_


@contextmanager
def locked(workdir: Workdir) -> Iterator[None]:
    """Holds the working folder for this process; the lock ends with the process, however it ends."""
    workdir.root.mkdir(parents=True, exist_ok=True)
    path = workdir.root / "lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise BadInput(
                f"{workdir.root} is in use by process {holder}: wait for it, or give another --workdir",
                reason="WorkdirInUse",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
