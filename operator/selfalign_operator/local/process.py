"""One stage process: started in a process group of its own, ended no later than its parent, polled over HTTP.

A stage process starts others (an inference engine has workers), and an orphan among them would keep a GPU's memory. Two
mechanisms prevent orphans: the group is killed as a whole, and Linux kills the stage process when its parent ends
(PR_SET_PDEATHSIG), even by SIGKILL, which no handler of the parent could catch.
"""

import contextlib
import ctypes
import http.client
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
"""prctl(2) option: the signal that the kernel sends to this process when its parent ends. From linux/prctl.h."""
PROGRESS_TIMEOUT_SECONDS = 0.3
"""Limit on one poll. It delays the runner's loop, and a process that is too busy will respond to a later one."""
PROGRESS_LIMIT_BYTES = 64 * 1024
"""Bytes of a progress response that are read; a document has a few hundred."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Makes a redirect an error: another program may have taken the port, and would send the request anywhere."""

    def redirect_request(self, *request: object) -> None:
        """Returns no request to follow."""


_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)
"""Ignores HTTP_PROXY, which often has no exception for 127.0.0.1."""


@dataclass(frozen=True)
class StageProcess:
    """A started stage process.

    Attributes:
        popen: the process, leader of its group.
        port: the port on which it serves /progress.
    """

    popen: subprocess.Popen[bytes]
    port: int

    def exit_code(self) -> int | None:
        """Returns the exit code, negative for a signal; None while the process is running."""
        return self.popen.poll()

    def stop(self) -> None:
        """Sends SIGTERM to the process, which saves its finished work and exits with 75. Does not wait for it."""
        with contextlib.suppress(ProcessLookupError):
            self.popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL to its whole group, also after its end: processes that it started may have outlived it."""
        # start_new_session made the process's id the id of its group
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)

    def progress(self) -> Progress | None:
        """Polls the progress; None while the process is not serving yet, or is too busy to respond in time."""
        address = f"http://127.0.0.1:{self.port}/progress"
        try:
            with _direct.open(address, timeout=PROGRESS_TIMEOUT_SECONDS) as response:
                return Progress.model_validate_json(response.read(PROGRESS_LIMIT_BYTES))
        except (OSError, ValueError, http.client.HTTPException):
            return None


def start(arguments: Sequence[str], *, log: Path, environment: Mapping[str, str], port: int) -> StageProcess:
    """Starts a stage process.

    Args:
        arguments: the command line.
        log: file for standard output and standard error; overwritten, folders are created.
        environment: the whole environment; nothing is inherited beside it.
        port: the port that the command line tells the process to serve.

    Raises:
        OSError: the program does not exist or cannot be executed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        popen = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            # its own session and group: Ctrl-C reaches only the runner, which decides how to stop the steps
            start_new_session=True,
            preexec_fn=_die_with_parent(os.getpid()),
        )
    return StageProcess(popen, port)


def free_port() -> int:
    """Returns a TCP port that nothing listens on at this moment; another process may take it before it is used."""
    # port 0 lets the kernel choose one
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _die_with_parent(parent: int) -> Callable[[], None]:
    """Returns a function for the child, between fork and exec, that ties its life to the parent's.

    prctl is resolved before the fork: the child of a process with threads must not load libraries.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)

    def _request_death_signal() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            # the parent may have ended before prctl took effect; then there will be no signal
            if os.getppid() != parent:
                os._exit(1)

    return _request_death_signal
