"""The attempts of one `selfalign run`: started, stopped, polled, and shown to the plan as an observation."""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from selfalign_operator.local.machine import Machine
from selfalign_operator.local.process import StageProcess, free_port, start
from selfalign_operator.local.workdir import Workdir
from selfalign_operator.planning.observation import PREFLIGHT, Attempt, Observed
from selfalign_stages.contract.graph import Kind
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.task import Failure, PreflightResult, Result

Message = TypeVar("Message", bound=Model)

PROGRAM = (sys.executable, "-m", "selfalign_stages.main")


@dataclass
class ProcessTable:
    """`program` is what stands before a step's kind on its command line; tests give a stand-in."""

    workdir: Workdir
    machine: Machine
    program: Sequence[str] = PROGRAM
    _attempts: dict[str, list[Attempt]] = field(default_factory=dict)
    _processes: dict[str, StageProcess] = field(default_factory=dict)

    def observed(self) -> Observed:
        """What the plan sees."""
        attempts = {id_: tuple(found) for id_, found in self._attempts.items()}
        return Observed(attempts=attempts, slots=self.machine.slots)

    def begin(self, id_: str, *, kind: Kind | None, key: str, number: int, task: Model, now: datetime) -> None:
        """Starts an attempt; `kind` is None for preflight."""
        folder, scratch = self.workdir.messages(id_, number), self.workdir.scratch(id_)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)  # a killed attempt could not tidy up
        scratch.mkdir(parents=True, exist_ok=True)
        (folder / "task.json").write_text(task.model_dump_json(by_alias=True, exclude_none=True, indent=1))
        (folder / "result.json").unlink(missing_ok=True)
        port = free_port()
        files = ["--task", str(folder / "task.json"), "--result", str(folder / "result.json")]
        arguments = [*self.program, kind or PREFLIGHT, *files, "--port", str(port), "--scratch", str(scratch)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.machine.threads(kind)), "PYTHONUNBUFFERED": "1"}
        log = self.workdir.log(id_, number)
        self._processes[id_] = start(arguments, log=log, environment=environment, port=port)
        self._attempts.setdefault(id_, []).append(Attempt(key=key, number=number, started=now))

    def stop(self, id_: str) -> None:
        """Asks the running attempt to end."""
        if id_ in self._processes:
            self._processes[id_].stop()
            self._change(id_, stopping=True)

    def kill_all(self) -> None:
        """Ends everything now."""
        for process in self._processes.values():
            process.kill()

    def reap(self, now: datetime) -> list[str]:
        """Notes what has ended and returns its ids."""
        ended = [id_ for id_, process in self._processes.items() if process.exit_code() is not None]
        for id_ in ended:
            self._end(id_, now)
        return ended

    def poll(self) -> None:
        """Asks everything that runs how far it is."""
        for id_, process in self._processes.items():
            progress = process.progress()
            if progress is not None:
                self._change(id_, progress=progress)

    def last(self, id_: str) -> Attempt | None:
        """The newest attempt, if there was one."""
        found = self._attempts.get(id_)
        return found[-1] if found else None

    @property
    def any_running(self) -> bool:
        """Whether there is a process left."""
        return bool(self._processes)

    def _end(self, id_: str, now: datetime) -> None:
        process = self._processes.pop(id_)
        process.kill()
        code = process.exit_code()
        path = self.workdir.messages(id_, self._attempts[id_][-1].number) / "result.json"
        shape: type[Result] | type[PreflightResult] = PreflightResult if id_ == PREFLIGHT else Result
        result = _read(path, shape)
        failure = _read(path, Failure) if result is None else None
        self._change(id_, finished=now, exit_code=code, result=result, failure=failure)
        shutil.rmtree(self.workdir.scratch(id_), ignore_errors=True)

    def _change(self, id_: str, **changes: object) -> None:
        self._attempts[id_][-1] = replace(self._attempts[id_][-1], **changes)  # type: ignore[arg-type]


def _read(path: Path, shape: type[Message]) -> Message | None:
    try:
        return shape.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
