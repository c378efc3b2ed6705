"""Implementation of the commands, once their arguments are parsed. Imported only when a command runs.

Results go to standard output and everything else to standard error, so that `-o json` can be piped into a program.
Functions return the process's exit code instead of raising SystemExit, which lets tests call them.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from rich.console import Console

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus
from selfalign_operator.local import machine
from selfalign_operator.local import workdir as workdirs
from selfalign_operator.local.claims import claims_in
from selfalign_operator.local.interrupts import ending_at_once, interrupts
from selfalign_operator.local.lock_holder import LockHolder
from selfalign_operator.local.process_table import PROGRAM, ProcessTable
from selfalign_operator.local.retry_file import with_nonces
from selfalign_operator.local.runner import Runner
from selfalign_operator.local.workdir import Workdir, WorkdirInUse
from selfalign_operator.manifest import environments
from selfalign_operator.manifest.loading import load
from selfalign_operator.planning import store_location
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.store_location import Locations
from selfalign_operator.terminal import closing, report
from selfalign_operator.terminal.display import Display
from selfalign_operator.terminal.progress_bars import Bars
from selfalign_operator.terminal.progress_lines import Lines
from selfalign_stages.contract import strict_json
from selfalign_stages.contract.exits import StageError
from selfalign_stages.contract.printable import printable, printable_json
from selfalign_stages.contract.task import Problem, StoreLocation

NOT_READY = 1
"""Exit code of a run without an image, and of an invalid manifest."""
IN_USE = os.EX_TEMPFAIL
"""Exit code if another process uses the working folder: 75, try again later (sysexits.h)."""
MANIFEST_BYTES = 4 * 2**20
"""Longest manifest that is read; API servers take requests of at most 3 MiB (apiserver, MaxRequestBodyBytes)."""
EXPLAINED = ("GateFailed", "DeadlineExceeded")
"""Reasons that no process's log can explain any further."""


def run(
    file: Path, *, workdir: Path, set_values: Sequence[str], as_json: bool, program: Sequence[str] = PROGRAM
) -> int:
    """Carries out a run on this machine and reports how it ended.

    Args:
        file: the manifest; `-` is standard input. Relative `file://` addresses in it start at its folder.
        workdir: folder of the artifact store, logs and scratch files; created if missing, locked while the run lasts.
        set_values: overrides as `path=value`, applied before validation.
        as_json: print the final status instead of tables and messages.
        program: command of a stage process; tests pass a stand-in.

    Returns:
        0 if the run is Ready, NOT_READY if the manifest is invalid or the run failed, IN_USE if another process uses
        the working folder, 130 after SIGINT and 143 after SIGTERM.
    """
    with ending_at_once():
        return _run(file, workdir=workdir, set_values=set_values, as_json=as_json, program=program)


def _run(file: Path, *, workdir: Path, set_values: Sequence[str], as_json: bool, program: Sequence[str]) -> int:
    loaded = read(file, set_values)
    problems = environments.problems_on_one_machine(loaded) if isinstance(loaded, SelfAlignRun) else loaded
    if not isinstance(loaded, SelfAlignRun) or problems:
        if as_json:
            _print_json(RunStatus(phase="Invalid", problems=tuple(problems)).to_dict())
        print_problems(file, problems)
        return NOT_READY
    try:
        paths = workdirs.at(workdir, loaded.metadata.name)
        folder = Path.cwd() if str(file) == "-" else file.resolve().parent
        locations = store_location.on_this_machine(loaded, folder, default_uri=paths.store_uri)
        with workdirs.locked(paths):
            return _carry_out(with_nonces(loaded, paths), paths, locations, program, as_json=as_json)
    except StageError as error:
        log(str(error))
        return IN_USE if isinstance(error, WorkdirInUse) else NOT_READY


def _carry_out(
    run: SelfAlignRun, paths: Workdir, locations: Locations, program: Sequence[str], *, as_json: bool
) -> int:
    for note in environments.ignored_on_one_machine(run):
        log(f"note: {note}")
    claims = claims_in(locations.store, LockHolder.of_this_process(run.metadata.name))
    processes = ProcessTable(paths, machine.detect(), program, claims)
    with interrupts() as interrupt, _display() as display:
        status = Runner(run, locations, processes, display, interrupt).carry_out()
    if as_json:
        _print_json(status.to_dict())
    elif any(step.state != "Pending" for stage in status.stages for step in stage.steps):
        report.write(sys.stdout, status)
    if status.ready:
        if not as_json:
            print_lines(_success(status, locations.store))
        return 0
    stopped = interrupt.times > 0
    for line in closing.interrupted() if stopped else _failure(status, processes):
        log(line)
    return interrupt.exit_code if stopped else NOT_READY


@contextmanager
def _display() -> Iterator[Display]:
    """Opens progress bars on a terminal; a file or a pipe gets lines, where cursor movements would be noise."""
    if not sys.stderr.isatty():
        yield Lines(log)
        return
    with Bars(Console(stderr=True)) as bars:
        yield bars


def _success(status: RunStatus, store: StoreLocation) -> list[str]:
    key = next((stage.key for stage in status.stages if stage.name == "packaging"), None)
    return closing.success(status, store=store, image_key=key)


def _failure(status: RunStatus, processes: ProcessTable) -> list[str]:
    """Returns the closing lines of a failed run, with the end of a log if a process failed and its log may explain."""
    failed = [step.name for stage in status.stages for step in stage.steps if step.state == "Failed"]
    id_ = failed[0] if failed else PREFLIGHT
    stalled = status.condition("Stalled")
    explained = bool(status.problems) or (stalled is not None and stalled.reason in EXPLAINED)
    last = processes.last(id_)
    if explained or last is None or last.exit_code in (0, None):
        return closing.failure(status, exit_code=None, log=None)
    return closing.failure(status, exit_code=last.exit_code, log=processes.log(id_))


def validate(file: Path, *, set_values: Sequence[str], as_json: bool) -> int:
    """Reports every problem of a manifest that is visible without opening its inputs.

    Args:
        file: the manifest; `-` is standard input.
        set_values: overrides as `path=value`, applied before validation.
        as_json: print a list of objects with `field`, `value` and `message`, empty for a valid manifest.

    Returns:
        0 if the manifest is valid, else NOT_READY.
    """
    loaded = read(file, set_values)
    problems = [] if isinstance(loaded, SelfAlignRun) else loaded
    if as_json:
        _print_json(
            [{"field": problem.field, "value": problem.value, "message": problem.message} for problem in problems]
        )
    elif problems:
        print_problems(file, problems)
    else:
        print_lines([f"{file} is valid"])
    return NOT_READY if problems else 0


def read(file: Path, set_values: Sequence[str]) -> SelfAlignRun | list[Problem]:
    """Reads and validates a manifest; a file that cannot be read is a problem like any other, not an exception."""
    try:
        text = strict_json.decode(_read_bytes(file))
    except OSError as error:
        return [Problem(field="", value=printable(str(file)), message=f"cannot be read: {error.strerror}")]
    except ValueError as error:
        return [Problem(field="", value=printable(str(file)), message=str(error))]
    return load(text, set_values=set_values)


def _read_bytes(file: Path) -> bytes:
    """Reads a file, a pipe such as `<(kustomize build)`, or standard input.

    Raises:
        OSError: it cannot be read.
        ValueError: it is longer than any manifest. Devices such as /dev/zero have no end.
    """
    with nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb") as source:
        data = source.read(MANIFEST_BYTES + 1)
    if len(data) > MANIFEST_BYTES:
        raise ValueError(f"is longer than {MANIFEST_BYTES} bytes, more than an API server takes: name a manifest")
    return data


def print_problems(file: Path, problems: Sequence[Problem]) -> None:
    """Prints the problems of a manifest on standard error, one line each."""
    log(f"{file}: {len(problems)} problem{'s' if len(problems) != 1 else ''}")
    for problem in problems:
        log(f"  {problem.line}")


def _print_json(value: object) -> None:
    sys.stdout.write(f"{printable_json(value)}\n")


def print_lines(lines: Sequence[str]) -> None:
    """Prints lines on standard output."""
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))


def log(line: str) -> None:
    """Prints a line on standard error."""
    # Lines quote manifests, logs and answers of servers, so none reaches the terminal as it is.
    sys.stderr.write(f"{printable(line)}\n")
    sys.stderr.flush()
