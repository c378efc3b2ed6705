"""Stops the Jobs of a run that is deleted but kept by a finalizer of another party.

The operator has no finalizer of its own, and garbage collection deletes a run's Jobs once the run is gone. A finalizer
of somebody else, such as a backup or policy tool, postpones that for as long as its owner likes, while pods hold GPUs
for a run that nobody wants any more.

Access to the API server: list and delete Jobs.
"""

from selfalign_operator.cluster.client import Client, Object
from selfalign_operator.jobs.identity import RUN_UID, SELECTOR

ORPHAN = "orphan"
"""Finalizer of a deletion with --cascade=orphan: its user wants the Jobs to stay."""
FOREGROUND = "foregroundDeletion"
"""Finalizer of a deletion with --cascade=foreground: garbage collection deletes the Jobs first."""


def foreign_finalizers(body: Object) -> tuple[str, ...]:
    """Returns the finalizers of other parties that keep a deleted run; none if its Jobs are to stay.

    Args:
        body: the run.
    """
    finalizers = body["metadata"].get("finalizers") or ()
    return () if ORPHAN in finalizers else tuple(name for name in finalizers if name != FOREGROUND)


def stop(client: Client, body: Object) -> None:
    """Deletes the run's Jobs, which sends SIGTERM to their pods. What they have published stays.

    Args:
        client: deletes them.
        body: the run.

    Raises:
        ApiError: a request failed.
    """
    metadata = body["metadata"]
    for job in client.list_jobs(metadata["namespace"], f"{SELECTOR},{RUN_UID}={metadata['uid']}"):
        if "deletionTimestamp" not in job["metadata"]:
            client.delete_job(metadata["namespace"], job["metadata"]["name"], uid=job["metadata"]["uid"])
