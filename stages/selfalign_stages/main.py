"""A stage process: reads its task, returns at once if the artifact exists, else computes and publishes it.

selfalign-stage KIND --task task.json --result result.json [--port N] [--host ADDRESS] [--scratch DIR]

In a pod the task stands in $SELFALIGN_TASK, so that a Job is complete in itself; an index of an Indexed Job is the
worker's number.
"""

import argparse
import errno
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from selfalign_stages import steps
from selfalign_stages.artifacts.open_store import open_store
from selfalign_stages.artifacts.reading import read_manifest
from selfalign_stages.contract import termination_message
from selfalign_stages.contract.exits import AccessDenied, BadInput, DoesNotFit, ExitCode, StageError
from selfalign_stages.contract.graph import KINDS
from selfalign_stages.contract.manifest import ArtifactRef
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.task import Failure, PreflightTask, Task
from selfalign_stages.step.context import StepContext
from selfalign_stages.step.progress import ProgressMeter
from selfalign_stages.step.stopping import IN_ONE_PIECE, Stop

LOG = logging.getLogger("selfalign")

TASK = "SELFALIGN_TASK"
TERMINATION_LOG = Path("/dev/termination-log")
"""Where the kubelet collects a container's last message (core/v1, default terminationMessagePath)."""
# OpenMP's threads give the core away while they wait. Else a step on CPUs that has neighbours, other pods of its run
# among them, takes twice as long. It is read when torch is loaded.
WAITING = {"OMP_WAIT_POLICY": "passive"}
Asked = TypeVar("Asked", bound=Model)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one step; the exit code is the contract's."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    for name, value in WAITING.items():
        os.environ.setdefault(name, value)
    LOG.setLevel(logging.INFO)  # of us alone: clients of hubs and buckets log addresses that are signed
    result_path = options.result or (TERMINATION_LOG if TERMINATION_LOG.exists() else None)
    try:
        stop = Stop()
        stop.listen()
        outcome = _preflight(options.task, stop) if options.kind == "preflight" else _step(options, stop)
    except Exception as raised:
        error = _as_stage_error(raised)
        LOG.error("%s: %s", error.reason, error)
        _write_message(result_path, Failure(reason=error.reason, message=str(error), counts=error.counts))
        return int(error.code)
    _write_message(result_path, outcome)
    return ExitCode.PUBLISHED


def _preflight(task: Path | None, stop: Stop) -> Model:
    with stop.at_once():
        from selfalign_stages.preflight.check import check

        return check(_read(task, PreflightTask))


def _step(options: argparse.Namespace, stop: Stop) -> Model:
    task = _read(options.task, Task)
    if (index := os.environ.get("JOB_COMPLETION_INDEX")) is not None:
        task = task.model_copy(update={"worker": int(index)})
    if task.kind != options.kind:
        raise BadInput(f"{options.task}: is a task of kind {task.kind}, not {options.kind}", reason="InvalidTask")
    store = open_store(task.store)
    found = read_manifest(store, ArtifactRef(kind=task.kind, key=task.key))
    if found is not None and steps.still_valid(store, found):
        LOG.info("%s: found in the store", task.id)
        return termination_message.result_of(found, cache="Hit")
    if task.kind != "import":
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # GPU pods never wait for a hub: models come from the store
    progress = ProgressMeter()
    with (
        _served(progress, task.id, options),
        tempfile.TemporaryDirectory(prefix="selfalign-", dir=options.scratch) as scratch,
    ):
        context = StepContext(task=task, store=store, scratch=Path(scratch), progress=progress, stop=stop)
        with stop.at_once() if task.kind in IN_ONE_PIECE else nullcontext():
            return termination_message.result_of(steps.load(task.kind)(context), cache="Miss")


def _read(path: Path | None, shape: type[Asked]) -> Asked:
    try:
        return shape.model_validate_json(path.read_bytes() if path else os.environ.get(TASK, ""))
    except (OSError, ValidationError) as error:
        raise BadInput(
            f"{path or f'${TASK}'}: is no {shape.__name__} of this version of selfalign: {error}; "
            "operator and stage images must be of one release",
            reason="InvalidTask",
        ) from error


@contextmanager
def _served(progress: ProgressMeter, step: str, options: argparse.Namespace) -> Iterator[None]:
    """Answers while the step runs; a port that is taken costs the progress display, never the step."""
    from selfalign_stages import progress_server

    server = None
    try:
        server = (
            progress_server.serve(progress, step=step, host=options.host, port=options.port) if options.port else None
        )
    except OSError as error:
        LOG.warning("%s: serves no progress on %s:%s: %s", step, options.host, options.port, error)
    try:
        yield
    finally:
        if server:
            server.shutdown()
            server.server_close()


def _write_message(path: Path | None, message: Model) -> None:
    """Writes the process's last message: within Kubernetes' limit into a termination log, else whole to a file.

    A file is replaced atomically. A termination log is a mounted file, which cannot be replaced by a rename.
    """
    if path is None:
        return
    if path == TERMINATION_LOG:
        path.write_bytes(termination_message.encode(message))
        return
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(termination_message.to_json(message))
    os.replace(partial, path)


def _as_stage_error(raised: Exception) -> StageError:
    """The error itself, or what it means: memory and disk have exit codes of their own, the rest is a crash."""
    if isinstance(raised, StageError):
        return raised
    traceback.print_exception(raised)
    if isinstance(raised, MemoryError) or type(raised).__name__ == "OutOfMemoryError":
        return DoesNotFit(f"out of memory: {raised}; use a smaller micro batch, a smaller model or a larger machine")
    if isinstance(raised, OSError) and raised.errno == errno.ENOSPC:
        return DoesNotFit(f"{raised.filename}: no space left on the device; free space or point --scratch elsewhere")
    if isinstance(raised, OSError) and raised.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return AccessDenied(f"{raised.filename}: {raised.strerror}; let this user write there, or name another place")
    first_line = str(raised).partition("\n")[0]  # the log has it whole
    return StageError(f"{type(raised).__name__}: {first_line}", reason="Crash")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="selfalign-stage", description="Runs one step of a SelfAlignRun.")
    parser.add_argument("kind", choices=[*KINDS, "preflight"], help="step kind, as the task says")
    parser.add_argument("--task", type=Path, help=f"task file, JSON; ${TASK} holds the task where it is missing")
    parser.add_argument("--result", type=Path, help="where the result goes; the termination log in a pod")
    parser.add_argument("--port", type=int, default=0, help="serves /progress and /metrics; 0 serves nothing")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on; 0.0.0.0 in a pod")
    parser.add_argument("--scratch", type=Path, help="folder for temporary files")
    return parser


if __name__ == "__main__":
    sys.exit(main())
