"""The last lines of `selfalign run`: where the image is and the next command, or why there is none and what to do.

A failure is printed with the end of the step's log, because most causes (an out-of-memory kill, a broken file) are in
there and nowhere else, and a user should not have to open the file first. The remedy follows from the exit code,
whose meaning the stage contract defines.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from selfalign_operator.api.status import RunStatus
from selfalign_operator.planning.retries import INPUT_LOST
from selfalign_operator.terminal import numbers
from selfalign_stages.contract.exits import ExitCode
from selfalign_stages.contract.task import StoreLocation

LOG_LINES = 12
"""Lines of a failed step's log that are printed: an exception with its causes, without scrolling the tables away."""
LOG_BYTES = 2**18
"""Bytes at the end of a log in which those lines are looked for; a log may be as large as the disk."""
LINE_CHARACTERS = 1000
"""Characters of a log's line that are printed; an error of a server may quote a whole document in one."""
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""A colour or weight of text on a terminal (ECMA-48, SGR), which the engine puts into its log."""
NOISE = ("  File ", "Traceback (most recent call last)", "    ")
"""Beginnings of the lines of a Python traceback; only the exception itself helps a user."""
REMEDIES: dict[int | None, str] = {
    ExitCode.BAD_INPUT: "correct what is named above; finished steps stay in the store",
    ExitCode.ACCESS_DENIED: "give the access that is named above, then run the same command again",
    ExitCode.DOES_NOT_FIT: "provide what is named above, or use a smaller setting; finished steps stay in the store",
    ExitCode.UNAVAILABLE: "run the same command again when the service responds; finished steps stay in the store",
    ExitCode.INPUT_LOST: (
        "find out what deletes or damages files of the store, then run the same command again: it makes what was lost "
        "anew and reuses the rest. Damaged files were moved to the store's folder set-aside"
    ),
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
    # The message has a line for each problem; newlines within a problem are escaped already (contract.printable).
    lines = f"{stalled.reason}: {stalled.message}".replace("\n", "\n  ").split("\n")
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
    if reason == INPUT_LOST:  # also of a step that succeeded, and whose artifact was lost too often afterwards
        return REMEDIES[ExitCode.INPUT_LOST]
    return REMEDIES.get(exit_code, CRASHED if exit_code is not None else RERUN)


def last_lines(log: Path, *, most: int = LOG_LINES) -> Sequence[str]:
    """Returns the last lines of a log that are neither blank nor part of a traceback; none if it cannot be read.

    Long lines are cut, and colours removed: a log is written for a terminal, but not for the middle of this output.
    """
    try:
        with log.open("rb") as source:
            source.seek(max(0, source.seek(0, os.SEEK_END) - LOG_BYTES))
            text = source.read().decode(errors="replace")
    except OSError:
        return ()
    # indented lines are source lines of a traceback, rarely anything else
    lines = (line for line in COLOUR.sub("", text).splitlines() if line.strip() and not line.startswith(NOISE))
    return [line.rstrip()[:LINE_CHARACTERS] for line in lines][-most:]
