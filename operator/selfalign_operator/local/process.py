"""One stage process: started in its own group, ended with us at the latest, asked for progress over HTTP."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfalign_stages.contract.task import Progress

PR_SET_PDEATHSIG = 1
PROGRESS_TIMEOUT_SECONDS = 0.3
PROGRESS_LIMIT_BYTES = 64 * 1024


@dataclass(frozen=True)
class StageProcess:
    """A started process and the port that it was told to serve."""

    popen: subprocess.Popen[bytes]
    port: int

    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self.popen.poll()

    def stop(self) -> None:
        """Asks it to end; it publishes what it has and exits with 75."""
        with contextlib.suppress(ProcessLookupError):
            self.popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)

    def progress(self) -> Progress | None:
        """What it tells; None before it serves and when it is too busy to answer."""
        address = f"http://127.0.0.1:{self.port}/progress"
        try:
            with _direct.open(address, timeout=PROGRESS_TIMEOUT_SECONDS) as answer:
                return Progress.model_validate_json(answer.read(PROGRESS_LIMIT_BYTES))
        except (OSError, ValueError):
            return None


_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def start(arguments: Sequence[str], *, log: Path, environment: Mapping[str, str], port: int) -> StageProcess:
    """Starts a process whose output goes to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        popen = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
            preexec_fn=_die_with_parent(os.getpid()),
        )
    return StageProcess(popen, port)


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _die_with_parent(parent: int) -> Callable[[], None]:
    """Asks Linux to kill the child when we are gone, kill -9 included."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)

    def ask() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

    return ask
