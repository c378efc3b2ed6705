"""The last lines of `selfalign run`: where the image is and the next command, or why there is none and what to do.

A failure is printed with the end of the step's log, because most causes (an out-of-memory kill, a broken file) are in
there and nowhere else, and a user should not have to open the file first. The remedy follows from the exit code,
whose meaning the stage contract defines.
"""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from selfalign_operator.api.status import RunStatus
from selfalign_operator.terminal import numbers
from selfalign_stages.contract.exits import ExitCode
from selfalign_stages.contract.task import StoreLocation

LOG_LINES = 12
"""Lines of a failed step's log that are printed: an exception with its causes, without scrolling the tables away."""
NOISE = ("  File ", "Traceback (most recent call last)", "    ")
"""Beginnings of the lines of a Python traceback; only the exception itself helps a user."""
REMEDIES: dict[int | None, str] = {
    ExitCode.BAD_INPUT: "correct what is named above; finished steps stay in the store",
    ExitCode.ACCESS_DENIED: "check the credentials in the environment, then run the same command again",
    ExitCode.DOES_NOT_FIT: "provide what is named above, or use a smaller setting; finished steps stay in the store",
    ExitCode.UNAVAILABLE: "run the same command again when the service responds; finished steps stay in the store",
}
"""What to do after a step that ended for good, by its exit code."""
RERUN = "run the same command again: it resumes from the published artifacts"
"""After an end that is no fault of the manifest; every published step is reused."""
CRASHED = f"see the log for the cause, then {RERUN}"


def success(status: RunStatus, *, store: StoreLocation, image_key: str | None) -> list[str]:
    """Returns the lines after a run that became Ready.

    Args:
        status: the last status; without an image there are no lines.
        store: the artifact store.
        image_key: key of the image artifact, part of the OCI layout's path in a file:// store; None if unknown.

    Returns:
        Image, artifacts and, for an image that is only in a local store, the layout and a command that pushes it.
    """
    image = status.image
    if image is None:
        return []
    size = f" ({numbers.size(image.size)})" if image.size else ""
    if "@" in image.reference:  # only a registry gives a reference by digest
        return [f"image      {image.reference}{size}, pushed", f"artifacts  {store.uri}"]
    lines = [f"image      {image.reference}@{image.digest}{size}", f"artifacts  {store.uri}"]
    # a layout in S3 would have to be downloaded first, and such runs usually push
    if store.uri.startswith("file://") and image_key:
        layout = Path(unquote(store.uri.removeprefix("file://"))) / "cas" / "image" / image_key / "oci"
        lines += [f"layout     {layout}", f"next       crane push {layout} {image.reference}"]
    return lines


def interrupted() -> list[str]:
    """Returns the lines after SIGINT or SIGTERM."""
    return [f"stopped on request; {RERUN}"]


def failure(status: RunStatus, *, exit_code: int | None, log: Path | None) -> list[str]:
    """Returns the lines after a run that failed.

    Args:
        status: the last status; unless it is Stalled there are no lines.
        exit_code: exit code of the step that failed; None if the run failed without one, as by a gate.
        log: log of that step; None if it explains nothing.

    Returns:
        Reason and message, the end of the log, its path, and what to do.
    """
    stalled = status.condition("Stalled")
    if stalled is None:
        return []
    lines = [f"{stalled.reason}: {stalled.message}"]
    if log is not None:
        lines += [f"  | {line}" for line in last_lines(log)] + [f"log        {log}"]
    return [*lines, f"next       {_remedy(stalled.reason, exit_code)}"]


def _remedy(reason: str, exit_code: int | None) -> str:
    if reason == "GateFailed":
        return "compare the evaluation above with spec.stages.evaluation.gates; change the recipe or the gates"
    if reason == "PreflightFailed":
        return "correct what is named above, then run the same command again; no step was started"
    if reason == "Suspended":
        return "set spec.suspend to false"
    return REMEDIES.get(exit_code, CRASHED if exit_code is not None else RERUN)


def last_lines(log: Path, *, most: int = LOG_LINES) -> Sequence[str]:
    """Returns the last lines of a log that are neither blank nor part of a traceback; none if it cannot be read."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ()
    # indented lines are source lines of a traceback, rarely anything else
    useful = [line.rstrip() for line in lines if line.strip() and not line.startswith(NOISE)]
    return useful[-most:]
