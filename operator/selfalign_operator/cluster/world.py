"""One look at a run's part of the cluster, turned into what the plan sees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.cluster.api import Api, Refused
from selfalign_operator.jobs import seen, snapshot
from selfalign_operator.jobs.held import BLOCKS, NO_PODS, OVER_QUOTA, QUEUED, STARTING
from selfalign_operator.jobs.identity import RUN_UID, SELECTOR
from selfalign_operator.planning.observation import Attempt, Observed
from selfalign_stages.contract.task import Failure, Progress

Object = dict[str, Any]


@dataclass(frozen=True)
class World:
    """What was read: Jobs by name, their pods, and the ConfigMap of the pack where there is one."""

    jobs: Mapping[str, Object]
    pods: tuple[Object, ...]
    pack: Object | None

    def observed(self, *, progress: Mapping[str, Progress], now: datetime) -> Observed:
        """As the plan sees it."""
        attempts = seen.attempts(self.jobs.values(), self.pods, progress=progress, now=now)
        return Observed(attempts=attempts, pack=snapshot.digest(self.pack) if self.pack is not None else None)


def look(api: Api, run: SelfAlignRun) -> World:
    """Asks the API server itself, not a cache: what we wrote before is there."""
    namespace, selector = run.metadata.namespace, f"{SELECTOR},{RUN_UID}={run.metadata.uid}"
    jobs = {job["metadata"]["name"]: job for job in api.jobs(namespace, selector)}
    named = run.spec.principles.config_map_ref
    return World(
        jobs=jobs,
        pods=tuple(api.pods(namespace, selector)) if jobs else (),
        pack=api.config_map(namespace, named.name) if named is not None else None,
    )


def explain(api: Api, world: World, observed: Observed) -> Observed:
    """The same, with the words of admission, quota and kubelet where only Events hold them."""
    attempts = {
        id_: tuple(_explained(api, world, attempt) for attempt in tried) for id_, tried in observed.attempts.items()
    }
    return replace(observed, attempts=attempts)


def _explained(api: Api, world: World, attempt: Attempt) -> Attempt:
    if attempt.held is None or attempt.job is None:
        return attempt
    if attempt.held.reason == NO_PODS:
        return replace(attempt, held=_refused(api, world.jobs[attempt.job]) or attempt.held)
    if attempt.held.reason == QUEUED:
        return replace(attempt, held=_queued(api, world.jobs[attempt.job], attempt.held))
    if attempt.held.reason == STARTING:
        return replace(attempt, held=_blocked(api, seen.pods_of(attempt.job, world.pods)))
    return attempt


def _refused(api: Api, job: Object) -> Failure | None:
    """Why the Job controller could create no pod."""
    told = api.warnings_about(job["metadata"]["namespace"], job["metadata"]["uid"])
    if not told:
        return None
    _, message = told[-1]
    return Failure(reason="QuotaExceeded" if OVER_QUOTA in message else "PodsRefused", message=message)


def _queued(api: Api, job: Object, held: Failure) -> Failure:
    """What Kueue says about the Job's Workload."""
    try:
        workload = api.workload(job["metadata"]["namespace"], job["metadata"]["uid"])
    except Refused as refused:
        if refused.code == 403:
            return held
        if refused.code != 404:
            raise
        text = "but this cluster has no Kueue: install it, or take spec.queueName away"
        return held.model_copy(update={"message": f"{held.message}, {text}"})
    conditions = workload.get("status", {}).get("conditions", ()) if workload else ()
    said = [c["message"] for c in conditions if c["type"] == "QuotaReserved" and c["status"] == "False"]
    return held.model_copy(update={"message": f"{held.message}: {said[0]}"}) if said else held


def _blocked(api: Api, pods: Sequence[Mapping[str, Any]]) -> Failure | None:
    """Why the kubelet cannot start a pod that it was given; None while it may just be pulling the image."""
    for pod in pods:
        metadata = pod["metadata"]
        told = [one for one in api.warnings_about(metadata["namespace"], metadata["uid"]) if one[0] in BLOCKS]
        if told and pod["status"].get("phase") == "Pending":
            return Failure(reason=told[-1][0], message=f"pod {metadata['name']}: {told[-1][1]}")
    return None
