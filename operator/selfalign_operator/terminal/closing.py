"""The last words of a run: where the image lies and what to do with it, or why there is none and what to do now."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from selfalign_operator.api.status import RunStatus
from selfalign_operator.terminal import numbers
from selfalign_stages.contract.exits import ExitCode
from selfalign_stages.contract.task import StoreLocation

LOG_LINES = 12
NOISE = ("  File ", "Traceback (most recent call last)", "    ")
REMEDIES: dict[int | None, str] = {
    ExitCode.BAD_INPUT: "mend what is named above; finished steps stay in the store",
    ExitCode.ACCESS_DENIED: "check the credentials in the environment, then run the same command again",
    ExitCode.DOES_NOT_FIT: "give it the room named above, or a smaller setting; finished steps stay in the store",
    ExitCode.UNAVAILABLE: "run the same command again when the service answers; it goes on from what is published",
}
RERUN = "run the same command again: it goes on from what is published"
CRASHED = "the log tells more; then run the same command again: it goes on from what is published"


def success(status: RunStatus, *, store: StoreLocation, image_key: str | None) -> list[str]:
    """Image, artifacts, next command."""
    image = status.image
    if image is None:
        return []
    size = f" ({numbers.size(image.size)})" if image.size else ""
    if "@" in image.reference:
        return [f"image      {image.reference}{size}, pushed", f"artifacts  {store.uri}"]
    lines = [f"image      {image.reference}@{image.digest}{size}", f"artifacts  {store.uri}"]
    if store.uri.startswith("file://") and image_key:
        layout = Path(unquote(store.uri.removeprefix("file://"))) / "cas" / "image" / image_key / "oci"
        lines += [f"layout     {layout}", f"next       crane push {layout} {image.reference}"]
    return lines


def interrupted() -> list[str]:
    """After Ctrl-C."""
    return [f"stopped on request; {RERUN}"]


def failure(status: RunStatus, *, exit_code: int | None, log: Path | None) -> list[str]:
    """Reason, message, the log's last useful lines, and what to do."""
    stalled = status.condition("Stalled")
    if stalled is None:
        return []
    lines = [f"{stalled.reason}: {stalled.message}"]
    if log is not None:
        lines += [f"  | {line}" for line in last_lines(log)] + [f"log        {log}"]
    return [*lines, f"next       {_remedy(stalled.reason, exit_code)}"]


def _remedy(reason: str, exit_code: int | None) -> str:
    if reason == "GateFailed":
        return "read the evaluation above; change the recipe or the gate in spec.stages.evaluation.gates"
    if reason == "PreflightFailed":
        return "mend what is named above, then run the same command again; nothing was started"
    if reason == "Suspended":
        return "set spec.suspend to false"
    return REMEDIES.get(exit_code, CRASHED if exit_code is not None else RERUN)


def last_lines(log: Path, *, most: int = LOG_LINES) -> Sequence[str]:
    """The end of a log without blank lines and the frames of a traceback."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ()
    useful = [line.rstrip() for line in lines if line.strip() and not line.startswith(NOISE)]
    return useful[-most:]
