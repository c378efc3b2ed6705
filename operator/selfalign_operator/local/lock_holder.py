"""Who has a lock: written into the locked file, and read by those who wait for it.

The content is for messages only. What decides is the lock itself (flock), which the kernel releases when its process
ends, however it ends.
"""

import os
import socket
from datetime import UTC, datetime
from typing import Self

from pydantic import ValidationError

from selfalign_stages.contract.model import Model

LONGEST_BYTES = 4096
"""How much of a locked file is read; a holder has a few hundred bytes."""


class LockHolder(Model):
    """A `selfalign run` that has locked a file.

    Attributes:
        run: metadata.name of its run.
        pid: its process id.
        host: name of its machine, since stores and working folders may be on a shared disk.
        since: when it began, in UTC.
    """

    run: str = "unknown"
    pid: int = 0
    host: str = "unknown"
    since: datetime | None = None

    @classmethod
    def of_this_process(cls, run: str) -> Self:
        """Returns this process as the holder, from now on."""
        return cls(run=run, pid=os.getpid(), host=socket.gethostname(), since=datetime.now(UTC).replace(microsecond=0))

    @classmethod
    def read(cls, descriptor: int) -> Self:
        """Reads the holder from a locked file; all unknown for a moment after it was locked."""
        try:
            return cls.model_validate_json(os.pread(descriptor, LONGEST_BYTES, 0))
        except ValidationError:
            return cls()

    def write(self, descriptor: int) -> None:
        """Writes the holder into the file that it has locked.

        Raises:
            OSError: the disk is full.
        """
        data = self.model_dump_json(by_alias=True).encode()
        os.ftruncate(descriptor, os.pwrite(descriptor, data, 0))

    def __str__(self) -> str:
        """Names process, host, run and start, for a message."""
        since = f" since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since is not None else ""
        return f"process {self.pid or 'unknown'} on {self.host} (run {self.run}{since})"
