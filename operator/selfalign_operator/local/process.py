"""One stage process: started in a process group of its own, ended no later than its parent, polled over HTTP.

A stage process starts others (an inference engine has workers), and an orphan among them would keep a GPU's memory. Two
mechanisms prevent orphans: the group is killed as a whole, with what has left it (process_tree), and Linux kills the
stage process when its parent ends (PR_SET_PDEATHSIG), even by SIGKILL, which no handler of the parent could catch.
"""

import contextlib
import ctypes
import http.client
import os
import signal
import socket
import subprocess
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from selfalign_operator.local import process_tree
from selfalign_operator.local.process_tree import ProcessId
from selfalign_stages.contract.task import Progress

PR_SET_PDEATHSIG = 1
"""prctl(2) option: the signal that the kernel sends to this process when its parent ends. From linux/prctl.h."""
MARK_VARIABLE = "SELFALIGN_PROCESS"
"""Environment variable with a value of its own for each stage process, by which its descendants are recognised."""
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
        mark: the environment variable, as NAME=VALUE, that only it and its descendants have.
    """

    popen: subprocess.Popen[bytes]
    port: int
    mark: str = MARK_VARIABLE
    _descendants: set[ProcessId] = field(default_factory=set)
    """Those of the moment when it was to stop: what changes its title, as vLLM's workers do, overwrites the mark."""

    def exit_code(self) -> int | None:
        """Returns the exit code, negative for a signal; None while the process is running."""
        return self.popen.poll()

    def stop(self) -> None:
        """Sends SIGTERM to the process, which saves its finished work and exits with 75. Does not wait for it."""
        self._descendants.update(process_tree.descendants(self.popen.pid))
        with contextlib.suppress(ProcessLookupError):
            self.popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL to it and all that it started, also after its end: they may have outlived it."""
        # start_new_session made the process's id the id of its group
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        process_tree.kill(self._descendants | process_tree.with_variable(self.mark))

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
        environment: the environment; nothing but MARK_VARIABLE is added to it.
        port: the port that the command line tells the process to serve.

    Raises:
        OSError: the program does not exist or cannot be executed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    mark = uuid.uuid4().hex
    with log.open("wb") as output:
        popen = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, MARK_VARIABLE: mark},
            # its own session and group: Ctrl-C reaches only the runner, which decides how to stop the steps
            start_new_session=True,
            preexec_fn=_die_with_parent(os.getpid()),
        )
    return StageProcess(popen, port, f"{MARK_VARIABLE}={mark}")


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
