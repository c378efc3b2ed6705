"""Explains exceptions of a step by the disk that caused them.

Libraries write model files from Rust and C++, and report a full disk as a RuntimeError without a file, which resembles
a crash and would be retried. What a step writes lies in its scratch folder, so that is the place if none is named.
"""

import os
from pathlib import Path

from selfalign_stages.contract import file_errors
from selfalign_stages.contract.exits import DoesNotFit, StageError

POD_REMEDY = (
    "request ephemeral-storage for the step in spec.stages.STAGE.resources.requests, or for all pods of the run in "
    "spec.podDefaults.template"
)
LOCAL_REMEDY = "free space there, or use another --workdir"
TEMPORARY_REMEDY = "free space there, or set TMPDIR to another folder"
UNNAMED = "the error names no file: if there is space, check the disk of the log"
PERMIT_REMEDY = "permit it, or use another path"


def explain(raised: Exception, *, scratch: Path | None, in_pod: bool) -> StageError | None:
    """Returns the StageError of an exception whose cause is a disk.

    Args:
        raised: the exception.
        scratch: the step's folder for temporary files; None is the system's.
        in_pod: whether the process runs in a pod, where volumes are those of the pod's spec.

    Returns:
        None if the disk has nothing to do with it.
    """
    if isinstance(raised, FileNotFoundError) and str(raised.strerror).startswith("No usable temporary directory"):
        # What tempfile says when it can write to none of them; it tries that at its first use.
        return DoesNotFit(f"{raised.strerror}: {POD_REMEDY if in_pod else TEMPORARY_REMEDY}")
    full = file_errors.cause_of_full(raised)
    if full is not None:
        # Not tempfile.gettempdir(), which raises where no folder can be written.
        temporary = Path(os.environ.get("TMPDIR", "/tmp"))
        named = _place(full)
        place = named or scratch or temporary
        of_scratch = scratch is not None and place.is_relative_to(scratch)
        local = TEMPORARY_REMEDY if place.is_relative_to(temporary) and not of_scratch else LOCAL_REMEDY
        remedy = POD_REMEDY if in_pod else local
        return file_errors.full(full, place=place, remedy=remedy if named else f"{remedy}; {UNNAMED}")
    if isinstance(raised, OSError) and raised.errno in (*file_errors.REFUSED, *file_errors.AWAY):
        named = _place(raised)
        return file_errors.stage_error(raised, place=named, remedy=PERMIT_REMEDY) if named else None
    return None


def _place(error: BaseException) -> Path | None:
    # Of a copy, the second file is the one that was written.
    names = (getattr(error, "filename2", None), getattr(error, "filename", None))
    return next((Path(name).absolute() for name in names if isinstance(name, str)), None)
