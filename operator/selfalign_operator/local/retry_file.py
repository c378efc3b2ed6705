"""The steps of a run that are made anew, in the working folder: what the annotation of a run is on a cluster.

The file runs/RUN/retry has the annotation's text, STEP@NONCE with commas in between. It stays, because the nonces are
part of the keys: without them the next `selfalign run` would find the artifacts from before.
"""

import os

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.local.workdir import REMEDY, Workdir
from selfalign_operator.planning import retry
from selfalign_stages.contract.file_errors import stage_error


def read_nonces(workdir: Workdir) -> dict[str, str]:
    """Returns the nonce by step id; none if no step was ever made anew.

    Raises:
        StageError: the file cannot be read.
    """
    try:
        return retry.parse(workdir.retry.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        cause = error if isinstance(error, OSError) else OSError(None, str(error), str(workdir.retry))
        raise stage_error(cause, place=workdir.retry, remedy=REMEDY) from error


def write_nonces(workdir: Workdir, nonces: dict[str, str]) -> None:
    """Writes the nonces in one piece. Call it with the working folder locked.

    Raises:
        StageError: the file cannot be written.
    """
    partial = workdir.retry.with_name("retry.partial")
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(f"{retry.text(nonces)}\n")
        os.replace(partial, workdir.retry)
    except OSError as error:
        raise stage_error(error, place=workdir.retry, remedy=REMEDY) from error


def with_nonces(run: SelfAlignRun, workdir: Workdir) -> SelfAlignRun:
    """Returns the run with the nonces of its working folder, as its annotation has them on a cluster.

    Raises:
        StageError: the file cannot be read.
    """
    nonces = read_nonces(workdir)
    if not nonces:
        return run
    annotations = {**run.metadata.annotations, retry.RETRY: retry.text({**retry.nonces(run), **nonces})}
    return run.model_copy(update={"metadata": run.metadata.model_copy(update={"annotations": annotations})})
