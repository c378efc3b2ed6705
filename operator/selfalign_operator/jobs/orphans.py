"""Finds Jobs of an earlier run of the same name that outlived it. Pure.

`kubectl delete --cascade=orphan` keeps the Jobs of a run on purpose, and a backup tool may restore Jobs without their
owner. Beside a new run of that name they hold devices and nobody reads their results. They are reported and not
deleted: whoever orphaned them may want them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from selfalign_operator.jobs.identity import RUN_UID

Object = Mapping[str, Any]
"""A Kubernetes object as the API server returns it in JSON."""


def orphans(jobs: Iterable[Object], *, uid: str | None) -> tuple[str, ...]:
    """Returns the names of Jobs that belong to another run of the name, have no owner, and have not ended.

    Args:
        jobs: Jobs with the label of the run's name. One that still has an owner is about to be garbage collected.
        uid: uid of the present run.
    """
    names = (job["metadata"]["name"] for job in jobs if _is_orphan(job, uid) and _runs(job))
    return tuple(sorted(names))


def _is_orphan(job: Object, uid: str | None) -> bool:
    metadata = job["metadata"]
    return metadata["labels"].get(RUN_UID) != uid and not metadata.get("ownerReferences")


def _runs(job: Object) -> bool:
    if "deletionTimestamp" in job["metadata"]:
        return False
    conditions = job.get("status", {}).get("conditions") or ()
    return not any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in conditions)
