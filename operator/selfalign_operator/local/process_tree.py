"""Finds the processes that a stage process has started, in its own process group or not, from /proc (proc(5)).

Killing the group is not enough: torchrun and daemons put their workers into sessions of their own, and an orphan among
them would keep the memory of a GPU. A process is recognised as a descendant of a living one, and after the end of its
parent by a variable in its environment, which children inherit.
"""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")


class ProcessId(NamedTuple):
    """A process, distinguished from a later one with the same number by its start.

    Attributes:
        pid: its number.
        started: clock ticks from the start of the machine to its own.
    """

    pid: int
    started: int


def descendants(pid: int) -> set[ProcessId]:
    """Returns the children of a process, their children and so on."""
    parents = {process: parent for process, parent in _processes()}
    found: set[ProcessId] = set()
    generation = {pid}
    while generation:
        children = {process for process, parent in parents.items() if parent in generation} - found
        found |= children
        generation = {child.pid for child in children}
    return found


def with_variable(variable: str) -> set[ProcessId]:
    """Returns the processes of this user that were started with a variable, as NAME=VALUE, in their environment."""
    found = set()
    for process, _ in _processes():
        with suppress(OSError):
            if variable.encode() in (PROC / str(process.pid) / "environ").read_bytes().split(b"\0"):
                found.add(process)
    return found


def kill(processes: Iterable[ProcessId]) -> None:
    """Sends SIGKILL to those that still exist."""
    for process in processes:
        if _started(process.pid) == process.started:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)


def _processes() -> Iterator[tuple[ProcessId, int]]:
    """All processes, each with the number of its parent."""
    for entry in PROC.glob("[0-9]*"):
        if (fields := _stat(int(entry.name))) is not None:
            yield ProcessId(int(entry.name), int(fields[19])), int(fields[1])


def _started(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[19]) if fields is not None else None


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third one on: state, parent, ..., start. None if the process is gone."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field is the name in parentheses, which may contain both spaces and parentheses.
    return text.rpartition(")")[2].split()
