"""The attempts of one `selfalign run`: starts, stops and polls processes, and shows them to the planner.

What Jobs and pods are on a cluster. In memory only: a new `selfalign run` starts with an empty table, and preflight
finds finished steps in the artifact store. Nothing that the table forgets is lost.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import ValidationError

from selfalign_operator.local.claims import Claim, Claims
from selfalign_operator.local.lock_holder import LockHolder
from selfalign_operator.local.machine import Machine
from selfalign_operator.local.process import StageProcess, free_port, start
from selfalign_operator.local.workdir import REMEDY, Workdir
from selfalign_operator.planning.observation import PREFLIGHT, Attempt, Observed
from selfalign_operator.planning.run_phase import WAITING_FOR_RUN
from selfalign_stages.contract.exits import ExitCode
from selfalign_stages.contract.file_errors import stage_error
from selfalign_stages.contract.graph import Kind
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.task import Failure, PreflightResult, Result

Message = TypeVar("Message", bound=Model)

PROGRAM = (sys.executable, "-m", "selfalign_stages.main")
"""The stage program, in the interpreter that runs the command: both come from one installation."""

WAITING_FOR_SLOT, FULL = "WaitingForSlot", "waits until another step of this run has ended"
"""Reason and message of a step whose artifact no other run makes any more, while as many processes run as may."""


class _Work(NamedTuple):
    """What a process is to do."""

    kind: Kind | None
    key: str
    number: int
    task: Model


@dataclass
class ProcessTable:
    """Attempts by process id, which is "preflight" or a step id.

    Attributes:
        workdir: paths for task files, results, logs and scratch.
        machine: how many processes may run in parallel, and their threads.
        program: command line of the stage program before the kind of the step; tests use another program.
        claims: what keeps two runs on one store from making an artifact at the same time; None: nothing does.
    """

    workdir: Workdir
    machine: Machine
    program: Sequence[str] = PROGRAM
    claims: Claims | None = None
    _attempts: dict[str, list[Attempt]] = field(default_factory=dict)
    """All attempts, oldest first."""
    _processes: dict[str, StageProcess] = field(default_factory=dict)
    """Running processes; each belongs to the newest attempt of its id."""
    _logs: dict[str, Path] = field(default_factory=dict)
    _waiting: dict[str, _Work] = field(default_factory=dict)
    """What is to be started once another run has released its claim; the newest attempt of the id is pending."""
    _claims: dict[str, Claim] = field(default_factory=dict)
    """Claims of running processes."""
    _withdrawing: bool = False

    def observed(self) -> Observed:
        """Returns the planner's observation."""
        attempts = {id_: tuple(attempts) for id_, attempts in self._attempts.items()}
        # a step that waits for another run uses no slot
        return Observed(attempts=attempts, slots=self.machine.slots + len(self._waiting))

    def start(self, id_: str, *, kind: Kind | None, key: str, number: int, task: Model, now: datetime) -> None:
        """Starts an attempt. One that cannot be started, as on a full disk, is recorded as failed.

        Args:
            id_: process id.
            kind: kind of the step, which is the stage program's command; None for preflight.
            key: key of the artifact that the attempt will publish, or preflight's key.
            number: number of the attempt; files of an earlier run with this number are removed.
            task: content of the task file.
            now: start time.
        """
        self._logs.pop(id_, None)
        self._attempts.setdefault(id_, []).append(Attempt(key=key, number=number, started=now))
        self._claim_and_launch(id_, _Work(kind, key, number, task), now)

    def start_waiting(self, now: datetime) -> None:
        """Starts the attempts for which another run has released its claim, as far as there are free slots."""
        for id_, work in list(self._waiting.items()):
            if len(self._processes) < self.machine.slots:
                self._claim_and_launch(id_, work, now)
            elif isinstance(claim := self._claim(work), LockHolder):
                self._wait(id_, work, for_=claim)
            else:
                claim.release()
                self._change(id_, pending=Failure(reason=WAITING_FOR_SLOT, message=FULL))

    def _claim(self, work: _Work) -> Claim | LockHolder:
        return self.claims.take(work.kind, work.key) if self.claims is not None else Claim()

    def _wait(self, id_: str, work: _Work, *, for_: LockHolder) -> None:
        self._waiting[id_] = work
        message = f"waits for run {for_.run} (process {for_.pid} on {for_.host}), which makes the same artifact"
        self._change(id_, pending=Failure(reason=WAITING_FOR_RUN, message=message))

    def _claim_and_launch(self, id_: str, work: _Work, now: datetime) -> None:
        claim = self._claim(work)
        if isinstance(claim, LockHolder):
            self._wait(id_, work, for_=claim)
            return
        self._waiting.pop(id_, None)
        self._claims[id_] = claim
        # the time of waiting is none of the step's
        self._change(id_, started=now, pending=None)
        self._launch(id_, work, now)

    def _launch(self, id_: str, work: _Work, now: datetime) -> None:
        try:
            self._processes[id_] = self._start(id_, work.kind, work.number, work.task)
            self._logs[id_] = self.workdir.log(id_, work.number)
        except OSError as error:
            failed = stage_error(error, place=Path(error.filename or self.workdir.root), remedy=REMEDY)
            failure = Failure(reason=failed.reason, message=f"cannot be started: {failed}")
            self._change(id_, finished=now, exit_code=int(failed.code), failure=failure)
            for folder in (self.workdir.messages(id_, work.number), self.workdir.scratch(id_)):
                shutil.rmtree(folder, ignore_errors=True)
            self._claims.pop(id_).release()

    def _start(self, id_: str, kind: Kind | None, number: int, task: Model) -> StageProcess:
        folder, scratch = self.workdir.messages(id_, number), self.workdir.scratch(id_)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        scratch.mkdir(parents=True, exist_ok=True)
        task_file, result_file = folder / "task.json", folder / "result.json"
        result_file.unlink(missing_ok=True)  # an old result must never count for this attempt
        task_file.write_text(task.model_dump_json(by_alias=True, exclude_none=True, indent=1))
        port = free_port()
        files = ["--task", str(task_file), "--result", str(result_file)]
        arguments = [*self.program, kind or PREFLIGHT, *files, "--port", str(port), "--scratch", str(scratch)]
        # unbuffered, so that the log is complete up to the moment of a crash
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.machine.threads(kind)), "PYTHONUNBUFFERED": "1"}
        return start(arguments, log=self.workdir.log(id_, number), environment=environment, port=port)

    def stop(self, id_: str) -> None:
        """Sends SIGTERM to a running attempt and marks it as stopping. Does nothing if none is running.

        An attempt that waits for another run has done nothing, and is withdrawn.
        """
        if id_ in self._waiting:
            del self._waiting[id_]
            self._attempts[id_].pop()
        if id_ in self._processes:
            self._processes[id_].stop()
            # the planner must not stop it twice, nor start another attempt before it has ended
            self._change(id_, stopping=True)

    def withdraw_all(self) -> list[str]:
        """Stops everything for an interruption of the command, and returns the ids of running processes.

        What publishes its artifact nevertheless counts. All other attempts are removed at their end, as if they had
        never begun, and the next command starts them under the same numbers.
        """
        self._withdrawing = True
        for id_ in [*self._waiting]:
            self.stop(id_)
        running = [*self._processes]
        for id_ in running:
            if not self._attempts[id_][-1].stopping:
                self.stop(id_)
        return running

    def kill_all(self) -> None:
        """Sends SIGKILL to every process and all that it started. `reap` still has to record their ends."""
        for process in self._processes.values():
            process.kill()

    def reap(self, now: datetime) -> list[str]:
        """Records the results of processes that have ended, and returns their ids."""
        ended = [id_ for id_, process in self._processes.items() if process.exit_code() is not None]
        for id_ in ended:
            self._end(id_, now)
        return ended

    def poll(self) -> None:
        """Records the progress of every running process that responds."""
        for id_, process in self._processes.items():
            progress = process.progress()
            if progress is not None:
                self._change(id_, progress=progress)

    def last(self, id_: str) -> Attempt | None:
        """Returns the newest attempt, None if there is none."""
        attempts = self._attempts.get(id_)
        return attempts[-1] if attempts else None

    def log(self, id_: str) -> Path | None:
        """Returns the log of the newest attempt, None if no process was started for it."""
        return self._logs.get(id_)

    @property
    def any_running(self) -> bool:
        """Whether any process is running, or has ended and is not reaped yet."""
        return bool(self._processes)

    def _end(self, id_: str, now: datetime) -> None:
        process = self._processes.pop(id_)
        exit_code = process.exit_code()
        # a worker that outlived its parent would keep memory that the next step needs
        process.kill()  # the rest of its group
        path = self.workdir.messages(id_, self._attempts[id_][-1].number) / "result.json"
        result_type: type[Result] | type[PreflightResult] = PreflightResult if id_ == PREFLIGHT else Result
        # one file for both outcomes, which differ in their fields
        result = _read(path, result_type)
        failure = _read(path, Failure) if result is None else None
        if self._withdrawing and (exit_code != ExitCode.PUBLISHED or result is None):
            self._attempts[id_].pop()
            shutil.rmtree(path.parent, ignore_errors=True)
        else:
            self._change(id_, finished=now, exit_code=exit_code, result=result, failure=failure)
        shutil.rmtree(self.workdir.scratch(id_), ignore_errors=True)
        # last: whoever takes over must not meet a process that still works
        self._claims.pop(id_).release()

    def _change(self, id_: str, **changes: object) -> None:
        """Changes fields of the newest attempt."""
        self._attempts[id_][-1] = replace(self._attempts[id_][-1], **changes)  # type: ignore[arg-type]


def _read(path: Path, message_type: type[Message]) -> Message | None:
    """Reads a message; None if there is no file or another message, as after a crash."""
    try:
        return message_type.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
