"""Decodes objects of the API server: a run, the status of a run that does not decode, the step of a Job.

The CustomResourceDefinition in the cluster and this operator may be of different versions, during an upgrade or after a
rollback. A status of another version must never stop a run: everything in it can be derived again from Jobs and store.
A spec of another version must, because fields that this version does not know would be ignored silently.

No access to the API server.
"""

from pydantic import ValidationError

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus
from selfalign_operator.cluster.client import Object
from selfalign_operator.jobs.identity import ATTEMPT, STEP
from selfalign_operator.manifest import error_messages
from selfalign_stages.contract.task import Problem


def decode_run(body: Object) -> SelfAlignRun | ValidationError:
    """Decodes a run.

    Returns:
        The run, with an empty status if the status is of another version or of another run; the errors if the spec is
        of another version.
    """
    try:
        return _without_foreign_status(SelfAlignRun.model_validate(body))
    except ValidationError:
        pass  # either part may be at fault: the second attempt tells which
    try:
        return SelfAlignRun.model_validate({**body, "status": {}})
    except ValidationError as error:
        return error


def _without_foreign_status(run: SelfAlignRun) -> SelfAlignRun:
    """Drops a status that describes another object, as a backup tool restores it together with the spec.

    Its generations count differently: an edit could reach the generation that the old run had completed, and nothing
    would start. What it lists as finished is found in the store again, if it is there. The history stays.
    """
    if run.status.run_uid in (None, run.metadata.uid):
        return run
    return run.model_copy(update={"status": RunStatus(history=run.status.history)})


def decode_status(body: Object) -> RunStatus:
    """Decodes the status alone; returns an empty one if there is none, or if it is of another version."""
    try:
        return RunStatus.model_validate(body.get("status") or {})
    except ValidationError:
        return RunStatus()


def spec_problems(body: Object, error: ValidationError) -> list[Problem]:
    """Words the errors of `decode_run` as problems with field path, value and remedy."""
    return [error_messages.problem(details, body) for details in error_messages.innermost(error.errors())]


def step_and_attempt(job: Object) -> tuple[str, int]:
    """Returns step id (or "preflight") and attempt number from the labels of one of the operator's Jobs."""
    labels = job["metadata"]["labels"]
    return labels[STEP], int(labels[ATTEMPT])
