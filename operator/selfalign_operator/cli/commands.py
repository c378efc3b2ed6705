"""What the command line's commands do, once its arguments are known. Imported by cli only when one of them runs."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus
from selfalign_operator.local import machine
from selfalign_operator.local.process_table import PROGRAM, ProcessTable
from selfalign_operator.local.runner import Runner, interrupts
from selfalign_operator.local.workdir import Workdir, locked
from selfalign_operator.manifest import environments
from selfalign_operator.manifest.loading import load
from selfalign_operator.planning import store_location
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.store_location import Locations
from selfalign_operator.terminal import closing, report
from selfalign_operator.terminal.display import Display
from selfalign_operator.terminal.progress_bars import Bars
from selfalign_operator.terminal.progress_lines import Lines
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.task import Problem, StoreLocation

NOT_READY, INTERRUPTED = 1, 130


def run(
    file: Path, *, workdir: Path, set_values: Sequence[str], as_json: bool, program: Sequence[str] = PROGRAM
) -> int:
    """Carries a run out on this machine; the exit code is 0 only when it is Ready."""
    loaded = read(file, set_values)
    found = environments.problems_on_one_machine(loaded) if isinstance(loaded, SelfAlignRun) else loaded
    if not isinstance(loaded, SelfAlignRun) or found:
        if as_json:
            _print_json(RunStatus(phase="Invalid", problems=tuple(found)).to_dict())
        _tell_problems(file, found)
        return NOT_READY
    place = Workdir(workdir.resolve(), loaded.metadata.name)
    folder = Path.cwd() if str(file) == "-" else file.resolve().parent
    locations = store_location.on_this_machine(loaded, folder, default_uri=place.store_uri)
    try:
        with locked(place):
            return _carry_out(loaded, place, locations, program, as_json=as_json)
    except BadInput as error:
        _say(str(error))
        return NOT_READY


def _carry_out(
    run: SelfAlignRun, place: Workdir, locations: Locations, program: Sequence[str], *, as_json: bool
) -> int:
    for note in environments.ignored_on_one_machine(run):
        _say(f"note: {note}")
    attempts = ProcessTable(place, machine.detect(), program)
    with interrupts() as interrupt, _display() as display:
        status = Runner(run, locations, attempts, display, interrupt).carry_out()
    if as_json:
        _print_json(status.to_dict())
    elif any(step.state != "Pending" for stage in status.stages for step in stage.steps):
        report.write(sys.stdout, status)
    if status.ready:
        if not as_json:
            _print_lines(_success(status, locations.store))
        return 0
    stopped = interrupt.times > 0
    for line in closing.interrupted() if stopped else _failure(status, attempts, place):
        _say(line)
    return INTERRUPTED if stopped else NOT_READY


@contextmanager
def _display() -> Iterator[Display]:
    """Bars where someone looks, lines where a file does."""
    if not sys.stderr.isatty():
        yield Lines(_say)
        return
    with Bars(Console(stderr=True)) as bars:
        yield bars


def _success(status: RunStatus, store: StoreLocation) -> list[str]:
    key = next((stage.key for stage in status.stages if stage.name == "packaging"), None)
    return closing.success(status, store=store, image_key=key)


def _failure(status: RunStatus, attempts: ProcessTable, place: Workdir) -> list[str]:
    steps = [step.name for stage in status.stages for step in stage.steps if step.state == "Failed"]
    id_ = steps[0] if steps else PREFLIGHT
    stalled = status.condition("Stalled")
    told = status.problems or (stalled is not None and stalled.reason in ("GateFailed", "DeadlineExceeded"))
    last = attempts.last(id_)
    if told or last is None or last.exit_code in (0, None):
        return closing.failure(status, exit_code=None, log=None)
    return closing.failure(status, exit_code=last.exit_code, log=place.log(id_, last.number))


def validate(file: Path, *, set_values: Sequence[str], as_json: bool) -> int:
    """Tells every problem of a manifest."""
    loaded = read(file, set_values)
    found = [] if isinstance(loaded, SelfAlignRun) else loaded
    if as_json:
        _print_json([{"field": one.field, "value": one.value, "message": one.message} for one in found])
    elif found:
        _tell_problems(file, found)
    else:
        _print_lines([f"{file} is valid"])
    return NOT_READY if found else 0


def read(file: Path, set_values: Sequence[str]) -> SelfAlignRun | list[Problem]:
    """The run in a file, - being standard input."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as error:
        return [Problem(field="", value=str(file), message=f"cannot be read: {error.strerror}")]
    except UnicodeDecodeError:
        return [Problem(field="", value=str(file), message="is not UTF-8 text")]
    return load(text, set_values=set_values)


def _tell_problems(file: Path, problems: Sequence[Problem]) -> None:
    _say(f"{file}: {len(problems)} problem{'s' if len(problems) != 1 else ''}")
    for problem in problems:
        _say(f"  {problem.line}")


def _print_json(value: object) -> None:
    _print_lines([json.dumps(value, indent=2, ensure_ascii=False)])


def _print_lines(lines: Sequence[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
