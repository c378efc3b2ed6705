"""One attempt at a step, or at preflight: a stage process from its command line to its exit code.

It reads its task, ends at once if the store has the artifact already, else computes and publishes it, and reports by
exit code (`contract.exits`) and result message (`contract.termination_message`). Every step can be repeated or killed
at any time: whatever is published stays, and nothing else counts.

In a pod the task is in $SELFALIGN_TASK, so that a Job is complete in itself, the result goes to the termination log,
and the worker's number is the completion index of an Indexed Job.
"""

import argparse
import errno
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from selfalign_stages import attempt_log, steps
from selfalign_stages.artifacts import hits
from selfalign_stages.artifacts.open_store import open_store
from selfalign_stages.contract import rules, termination_message
from selfalign_stages.contract.exits import BadInput, DoesNotFit, ExitCode, InputLost, Interrupted, StageError
from selfalign_stages.contract.graph import KINDS
from selfalign_stages.contract.manifest import ArtifactRef
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.task import TASK_VARIABLE, Failure, PreflightTask, Task
from selfalign_stages.step import disk_errors, log_lines, stop_deadline
from selfalign_stages.step.context import StepContext
from selfalign_stages.step.progress import ProgressMeter
from selfalign_stages.step.stopping import ALL_OR_NOTHING, MESSAGE, Stop

LOG = logging.getLogger("selfalign")

TERMINATION_LOG = Path("/dev/termination-log")
"""Where the kubelet collects a container's last message (core/v1, default terminationMessagePath)."""
AnyTask = TypeVar("AnyTask", bound=Model)


@attempt_log.kept
def carry_out(arguments: Sequence[str] | None) -> int:
    """Runs one step and writes its result message.

    Args:
        arguments: the command line without the program's name. None: the process's own.

    Returns:
        The exit code, an ExitCode or 1 for a crash. After a request to stop it is PUBLISHED or INTERRUPTED, whatever
        else fails: a process of the engine that received the signal too, or code that cannot be ended halfway.
    """
    stop = Stop()
    stop.listen()
    options = _parser().parse_args(arguments)
    log_lines.configure(level=logging.WARNING)
    # Not the root logger: clients of hubs and buckets log URLs at INFO, and presigned ones contain credentials.
    LOG.setLevel(logging.INFO)
    with stop_deadline.watched(stop, piece_seconds=stop_deadline.piece_seconds(options.kind)):
        return _attempt(options, stop)


def _attempt(options: argparse.Namespace, stop: Stop) -> int:
    result_path = options.result or (TERMINATION_LOG if TERMINATION_LOG.exists() else None)
    try:
        outcome = _preflight(options, stop) if options.kind == "preflight" else _step(options, stop)
    # Every exception, since a process without a result message leaves its user with an exit code alone.
    except BaseException as raised:
        if stop.requested():
            return _end_interrupted(raised, result_path)
        if not isinstance(raised, Exception):
            raise
        error = _as_stage_error(raised, options.scratch)
        LOG.error("%s: %s", error.reason, error)
        lost = error.key if isinstance(error, InputLost) else None
        _write_message(result_path, Failure(reason=error.reason, message=str(error), counts=error.counts, lost=lost))
        return int(error.code)
    _write_message(result_path, outcome)
    return ExitCode.PUBLISHED


def _end_interrupted(raised: BaseException, result_path: Path | None) -> int:
    if not isinstance(raised, Interrupted):
        with suppress(OSError):  # the disk of the log may be full
            log_lines.write_traceback(raised)
    message = str(raised) if isinstance(raised, Interrupted) else MESSAGE
    LOG.error("%s: %s", Interrupted.reason, message)
    _write_message(result_path, Failure(reason=Interrupted.reason, message=message))
    return ExitCode.INTERRUPTED


def _preflight(options: argparse.Namespace, stop: Stop) -> Model:
    with stop.at_once():
        from selfalign_stages.preflight.check import check

        # The steps of a pod run elsewhere, on disks of their own.
        in_pod = TASK_VARIABLE in os.environ
        return check(_read(options.task, PreflightTask), scratch=None if in_pod else options.scratch)


def _step(options: argparse.Namespace, stop: Stop) -> Model:
    """Returns the result of the existing artifact, or computes the step."""
    task = _read(options.task, Task)
    # Set by the Job controller in pods of an Indexed Job (batch/v1, completionMode).
    if (index := os.environ.get("JOB_COMPLETION_INDEX")) is not None:
        task = task.model_copy(update={"worker": int(index)})
    # The kind is on the command line too, for people who list processes; a mismatch is a Job edited by hand.
    if task.kind != options.kind:
        raise BadInput(f"{options.task}: is a task of kind {task.kind}, not {options.kind}", reason="InvalidTask")
    with stop.at_once():
        store = open_store(task.store)
        leaves = {name: leaf.digest or "" for name, leaf in task.leaves.items()}
        examined = steps.examine(store, ArtifactRef(kind=task.kind, key=task.key), leaves=leaves)
    if examined.manifest is not None:
        LOG.info("%s: the artifact exists already", task.id)
        return termination_message.result_of(examined.manifest, cache="Hit")
    if examined.problem:
        LOG.warning("%s: %s; computed anew", task.id, examined.problem)
        hits.set_aside(store, examined)
    # All models come from the store. Without this, Transformers may still ask a hub and wait for it on a GPU pod. Rows
    # of one's own may come from a hub.
    if task.kind != "import" and not any(leaf.uri.startswith(rules.HUB_PREFIX) for leaf in task.leaves.values()):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    progress = ProgressMeter()
    with (
        _serving(progress, task.id, options),
        tempfile.TemporaryDirectory(prefix="selfalign-", dir=options.scratch) as scratch,
    ):
        context = StepContext(task=task, store=store, scratch=Path(scratch), progress=progress, stop=stop)
        with stop.at_once() if task.kind in ALL_OR_NOTHING else nullcontext():
            return termination_message.result_of(steps.load(task.kind)(context), cache="Miss")


def _read(path: Path | None, model: type[AnyTask]) -> AnyTask:
    """Reads a task from a file, or from the environment if there is no path."""
    try:
        return model.model_validate_json(path.read_bytes() if path else os.environ.get(TASK_VARIABLE, ""))
    except (OSError, ValidationError) as error:
        raise BadInput(
            f"{path or f'${TASK_VARIABLE}'}: is no {model.__name__} of this version of selfalign: {error}; "
            "operator and stage images must be of one release",
            reason="InvalidTask",
        ) from error


@contextmanager
def _serving(progress: ProgressMeter, step: str, options: argparse.Namespace) -> Iterator[None]:
    """Serves /progress and /metrics while the step runs.

    A port that is in use costs the display of progress, never the step.
    """
    from selfalign_stages import progress_server  # the HTTP server and prometheus_client: not needed for a cache hit

    server = None
    # Only starting the server is guarded: an OSError of the step itself must pass.
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
    """Writes the result message: shortened to Kubernetes' limit for a termination log, whole for any other file.

    A file is replaced atomically, so that the local runner never reads half of it. A termination log is a mounted file,
    which a rename cannot replace. A message that cannot be written, as on a full disk, changes no exit code: that alone
    decides about a retry, and a step that published is a cache hit in the next attempt.
    """
    try:
        if path is not None and path == TERMINATION_LOG:
            path.write_bytes(termination_message.encode(message))
        elif path is not None:
            _replace(path, termination_message.to_json(message))
    except OSError as error:
        LOG.error("%s: the result cannot be written: %s", path, error)
    _let_go_of_a_full_log()


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _let_go_of_a_full_log() -> None:
    """Drops output that a full disk did not take: Python would try again at its end, fail, and exit with 120."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except OSError:
            setattr(sys, name, open(os.devnull, "w"))


def _as_stage_error(raised: Exception, scratch: Path | None) -> StageError:
    """Maps any exception to a StageError: lack of memory, disk or permission to its exit code, the rest to a crash."""
    if isinstance(raised, StageError):
        return raised
    with suppress(OSError):  # the disk of the log may be full
        log_lines.write_traceback(raised)
    if _is_out_of_memory(raised):
        return DoesNotFit(f"out of memory: {raised}; use a smaller micro batch, a smaller model or a larger machine")
    if (explained := disk_errors.explain(raised, scratch=scratch, in_pod=TASK_VARIABLE in os.environ)) is not None:
        return explained
    first_line = str(raised).partition("\n")[0]  # the log has the whole message and the traceback
    return StageError(f"{type(raised).__name__}: {first_line}", reason="Crash")


def _is_out_of_memory(raised: BaseException) -> bool:
    """Whether memory of the machine or of a device did not suffice, also where another error was raised from that."""
    # torch's OutOfMemoryError is compared by name, so that torch is not imported for an error of another kind. A worker
    # process of the engine passes on the text alone.
    if isinstance(raised, MemoryError) or type(raised).__name__ == "OutOfMemoryError":
        return True
    if getattr(raised, "errno", None) == errno.ENOMEM:
        return True
    if isinstance(raised, RuntimeError) and "out of memory" in str(raised):
        return True
    return raised.__cause__ is not None and _is_out_of_memory(raised.__cause__)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="selfalign-stage", description="Runs one step of a SelfAlignRun.")
    parser.add_argument("kind", choices=[*KINDS, "preflight"], help="kind of the step, equal to the kind in its task")
    parser.add_argument("--task", type=Path, help=f"JSON file with the task; default: the content of ${TASK_VARIABLE}")
    parser.add_argument("--result", type=Path, help="file for the result; default: the termination log in a pod")
    parser.add_argument("--port", type=int, default=0, help="port that serves /progress and /metrics; 0: none")
    parser.add_argument("--host", default="127.0.0.1", help="address of the port; :: in a pod: both families")
    parser.add_argument("--scratch", type=Path, help="folder for temporary files; default: the system's")
    return parser
