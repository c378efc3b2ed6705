"""One look at a run's part of the cluster, turned into what the plan sees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.cluster.client import ApiError, Client
from selfalign_operator.jobs import job_status, pack_snapshot
from selfalign_operator.jobs.identity import RUN_UID, SELECTOR
from selfalign_operator.jobs.pending_reason import BLOCKS, NO_PODS, OVER_QUOTA, QUEUED, STARTING
from selfalign_operator.planning.observation import Attempt, Observed
from selfalign_stages.contract.task import Failure, Progress

Object = dict[str, Any]


@dataclass(frozen=True)
class ClusterState:
    """What was read: Jobs by name, their pods, and the ConfigMap of the pack where there is one."""

    jobs: Mapping[str, Object]
    pods: tuple[Object, ...]
    pack: Object | None

    def observed(self, *, progress: Mapping[str, Progress], now: datetime) -> Observed:
        """As the plan sees it."""
        attempts = job_status.attempts(self.jobs.values(), self.pods, progress=progress, now=now)
        return Observed(attempts=attempts, pack=pack_snapshot.digest(self.pack) if self.pack is not None else None)


def observe(client: Client, run: SelfAlignRun) -> ClusterState:
    """Asks the API server itself, not a cache: what we wrote before is there."""
    namespace, selector = run.metadata.namespace, f"{SELECTOR},{RUN_UID}={run.metadata.uid}"
    jobs = {job["metadata"]["name"]: job for job in client.list_jobs(namespace, selector)}
    named = run.spec.principles.config_map_ref
    return ClusterState(
        jobs=jobs,
        pods=tuple(client.list_pods(namespace, selector)) if jobs else (),
        pack=client.get_config_map(namespace, named.name) if named is not None else None,
    )


def explain_pending(client: Client, world: ClusterState, observed: Observed) -> Observed:
    """The same, with the words of admission, quota and kubelet where only Events hold them."""
    attempts = {
        id_: tuple(_explained(client, world, attempt) for attempt in tried) for id_, tried in observed.attempts.items()
    }
    return replace(observed, attempts=attempts)


def _explained(client: Client, world: ClusterState, attempt: Attempt) -> Attempt:
    if attempt.pending is None or attempt.job is None:
        return attempt
    if attempt.pending.reason == NO_PODS:
        return replace(attempt, pending=_refused(client, world.jobs[attempt.job]) or attempt.pending)
    if attempt.pending.reason == QUEUED:
        return replace(attempt, pending=_queued(client, world.jobs[attempt.job], attempt.pending))
    if attempt.pending.reason == STARTING:
        return replace(attempt, pending=_blocked(client, job_status.pods_of(attempt.job, world.pods)))
    return attempt


def _refused(client: Client, job: Object) -> Failure | None:
    """Why the Job controller could create no pod."""
    told = client.list_warning_events(job["metadata"]["namespace"], job["metadata"]["uid"])
    if not told:
        return None
    _, message = told[-1]
    return Failure(reason="QuotaExceeded" if OVER_QUOTA in message else "PodsRefused", message=message)


def _queued(client: Client, job: Object, held: Failure) -> Failure:
    """What Kueue says about the Job's Workload."""
    try:
        workload = client.get_workload(job["metadata"]["namespace"], job["metadata"]["uid"])
    except ApiError as refused:
        if refused.code == 403:
            return held
        if refused.code != 404:
            raise
        text = "but this cluster has no Kueue: install it, or take spec.queueName away"
        return held.model_copy(update={"message": f"{held.message}, {text}"})
    conditions = workload.get("status", {}).get("conditions", ()) if workload else ()
    said = [c["message"] for c in conditions if c["type"] == "QuotaReserved" and c["status"] == "False"]
    return held.model_copy(update={"message": f"{held.message}: {said[0]}"}) if said else held


def _blocked(client: Client, pods: Sequence[Mapping[str, Any]]) -> Failure | None:
    """Why the kubelet cannot start a pod that it was given; None while it may just be pulling the image."""
    for pod in pods:
        metadata = pod["metadata"]
        told = [one for one in client.list_warning_events(metadata["namespace"], metadata["uid"]) if one[0] in BLOCKS]
        if told and pod["status"].get("phase") == "Pending":
            return Failure(reason=told[-1][0], message=f"pod {metadata['name']}: {told[-1][1]}")
    return None
