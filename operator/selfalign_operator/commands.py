"""What the command line's commands do, once its arguments are known. Imported by cli only when one of them runs."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus
from selfalign_operator.local import locations, machine, support
from selfalign_operator.local.attempts import PROGRAM, Attempts
from selfalign_operator.local.runner import Runner, interrupts
from selfalign_operator.local.tasks import Places
from selfalign_operator.local.workdir import Workdir, locked
from selfalign_operator.manifest.loading import load
from selfalign_operator.terminal.lines import Lines
from selfalign_operator.terminal.report import Report
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.task import Problem

INTERRUPTED = 130


def run(
    file: Path, *, workdir: Path, set_values: Sequence[str], as_json: bool, program: Sequence[str] = PROGRAM
) -> int:
    """Carries a run out on this machine; the exit code is 0 only when it is Ready."""
    loaded = read(file, set_values)
    found = support.problems(loaded) if isinstance(loaded, SelfAlignRun) else loaded
    if not isinstance(loaded, SelfAlignRun) or found:
        _tell_problems(file, found, as_json=as_json)
        return 1
    try:
        return _carry_out(loaded, file, workdir=workdir, as_json=as_json, program=program)
    except BadInput as error:
        _say(str(error))
        return 1


def _carry_out(run: SelfAlignRun, file: Path, *, workdir: Path, as_json: bool, program: Sequence[str]) -> int:
    place = Workdir(workdir.resolve(), run.metadata.name)
    folder = file.resolve().parent if str(file) != "-" else Path.cwd()
    store = locations.store(run, folder, default_uri=place.store_uri)
    places = Places(store, locations.leaves(run, folder))
    with locked(place), interrupts() as interrupt:
        for note in support.notes(run):
            _say(f"note: {note}")
        attempts = Attempts(place, machine.detect(), program)
        status = Runner(run, places, attempts, Lines(_say), interrupt).carry_out()
        report = Report(run, status, place, store)
    if as_json:
        _print_json(status.plain())
    else:
        report.write(sys.stdout)
    report.write_failure(sys.stderr)
    return 0 if status.ready else INTERRUPTED if interrupt.times else 1


def validate(file: Path, *, set_values: Sequence[str], as_json: bool) -> int:
    """Tells every problem of a manifest."""
    loaded = read(file, set_values)
    found = [] if isinstance(loaded, SelfAlignRun) else loaded
    if as_json:
        _print_json([problem.plain() for problem in found])
    elif found:
        _tell_problems(file, found, as_json=False)
    else:
        sys.stdout.write(f"{file} is valid\n")
    return 1 if found else 0


def read(file: Path, set_values: Sequence[str]) -> SelfAlignRun | list[Problem]:
    """The run in a file, - being standard input."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as error:
        return [Problem(field="", value=str(file), message=f"cannot be read: {error.strerror}")]
    except UnicodeDecodeError:
        return [Problem(field="", value=str(file), message="is not UTF-8 text")]
    return load(text, set_values=set_values)


def _tell_problems(file: Path, problems: Sequence[Problem], *, as_json: bool) -> None:
    if as_json:
        status = RunStatus(phase="Invalid", problems=tuple(problems))
        _print_json(status.plain())
        return
    _say(f"{file}: {len(problems)} problem{'s' if len(problems) != 1 else ''}")
    for problem in problems:
        value = "" if problem.value is None else f" = {json.dumps(problem.value, ensure_ascii=False)}"
        _say(f"  {problem.field or 'file'}{value}: {problem.message}")


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
