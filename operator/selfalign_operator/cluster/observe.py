"""Observes a run: reads its Jobs, pods and principle pack, and turns them into the planner's observation.

Everything is read from the API server and not from a cache, so that an action of the previous reconcile is part of the
observation of the next one; the planner relies on that to start nothing twice.

Some causes of waiting are in no field of a Job or pod. Why the Job controller could not create a pod, or the kubelet
could not start one, is only in Events; why Kueue does not admit a Job is only in its Workload. Those are read last and
only for Jobs that wait, since each costs a request.

Access to the API server: list Jobs, pods, Events and Kueue Workloads; get one ConfigMap. Writes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from selfalign_operator.api.devices import GPU_RESOURCES
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.cluster.client import ApiError, Client, Object
from selfalign_operator.jobs import job_status, pack_snapshot
from selfalign_operator.jobs.identity import RUN, RUN_UID, SELECTOR, is_attempt
from selfalign_operator.jobs.orphans import orphans
from selfalign_operator.jobs.pending_reason import (
    NO_PODS,
    OVER_QUOTA,
    QUOTA_PENDING,
    STARTUP_EVENTS,
)
from selfalign_operator.jobs.remedies import with_remedy
from selfalign_operator.jobs.waiting_container import CONTAINER_CREATING
from selfalign_operator.planning.observation import Attempt, Observed
from selfalign_stages.contract.task import Failure, Progress


@dataclass(frozen=True)
class ClusterState:
    """A run's objects as the API server returned them.

    Attributes:
        jobs: its Jobs by name.
        pods: the pods that those Jobs control; other pods with the run's labels are left out.
        pack: the ConfigMap that spec.principles.configMapRef names; None if the spec names none, or it is missing.
        orphans: names of the Jobs of an earlier run of its name that nobody owns any more and that still run.
    """

    jobs: Mapping[str, Object]
    pods: tuple[Object, ...]
    pack: Object | None
    orphans: tuple[str, ...] = ()

    def observed(
        self, *, progress: Mapping[str, Progress], now: datetime, gpu_resources: Sequence[str] = GPU_RESOURCES
    ) -> Observed:
        """Converts the objects into the planner's observation.

        Args:
            progress: progress by pod name, from polling the pods.
            now: the current time, which decides how long a pod has been waiting.
            gpu_resources: resource names of GPUs (api.devices).
        """
        attempts = job_status.attempts(
            self.jobs.values(), self.pods, progress=progress, now=now, gpu_resources=gpu_resources
        )
        pack = pack_snapshot.digest(self.pack) if self.pack is not None else None
        return Observed(attempts=attempts, pack=pack, orphans=self.orphans)


def observe(client: Client, run: SelfAlignRun) -> ClusterState:
    """Reads a run's objects. Jobs of a deleted run of its name, which has another uid, are not among them.

    Raises:
        ApiError: a read failed.
    """
    namespace, selector = run.metadata.namespace, f"{SELECTOR},{RUN_UID}={run.metadata.uid}"
    of_name = client.list_jobs(namespace, f"{SELECTOR},{RUN}={run.metadata.name}")
    of_run = (job for job in of_name if job["metadata"]["labels"].get(RUN_UID) == run.metadata.uid)
    jobs = {job["metadata"]["name"]: job for job in of_run if is_attempt(job)}
    # pods after Jobs: a pod of a Job that is created in between belongs to no listed Job and is ignored
    pods = client.list_pods(namespace, selector) if jobs else []
    reference = run.spec.principles.config_map_ref
    return ClusterState(
        jobs=jobs,
        pods=tuple(pod for job in jobs.values() for pod in job_status.pods_of(job, pods)),
        pack=client.get_config_map(namespace, reference.name) if reference is not None else None,
        orphans=orphans(of_name, uid=run.metadata.uid),
    )


def explain_pending(client: Client, cluster: ClusterState, observed: Observed) -> Observed:
    """Adds the causes of waiting that only Events and Kueue's Workloads contain.

    Args:
        client: reads them.
        cluster: the objects that `observed` was made from.
        observed: the observation.

    Returns:
        The observation with the message of Job controller, kubelet or Kueue in place of a general one.

    Raises:
        ApiError: a read failed. A missing Kueue, or a Role without access to its Workloads, is no error.
    """
    explained = {
        id_: tuple(_explained(client, cluster, attempt) for attempt in attempts)
        for id_, attempts in observed.attempts.items()
    }
    return replace(observed, attempts=explained)


def _explained(client: Client, cluster: ClusterState, attempt: Attempt) -> Attempt:
    if attempt.pending is None or attempt.job is None:
        return attempt
    try:
        return _explained_by_events(client, cluster, attempt, cluster.jobs[attempt.job], attempt.pending)
    except ApiError as error:
        if error.code != 403:
            raise
        text = f"{attempt.pending.message}; the operator may not read more about it: {error}"
        return replace(attempt, pending=attempt.pending.model_copy(update={"message": text}))


def _explained_by_events(
    client: Client, cluster: ClusterState, attempt: Attempt, job: Object, pending: Failure
) -> Attempt:
    if pending.reason == NO_PODS:
        return replace(attempt, pending=_pods_rejected(client, job) or pending)
    if pending.reason == QUOTA_PENDING:
        return replace(attempt, pending=_not_admitted(client, job, pending))
    if pending.reason == CONTAINER_CREATING:
        # None without a warning: a large image takes minutes to pull, which is no cause for concern
        not_started = _not_started(client, job_status.pods_of(job, cluster.pods))
        return replace(attempt, pending=with_remedy(job, not_started) if not_started is not None else None)
    return attempt


def _pods_rejected(client: Client, job: Object) -> Failure | None:
    """Why the Job controller could not create a pod: its newest warning about the Job."""
    warnings = client.list_warning_events(job["metadata"]["namespace"], job["metadata"]["uid"])
    if not warnings:
        return None
    _, message = warnings[-1]
    return with_remedy(
        job, Failure(reason="QuotaExceeded" if OVER_QUOTA in message else "PodsRefused", message=message)
    )


def _not_admitted(client: Client, job: Object, pending: Failure) -> Failure:
    """Why Kueue does not admit the Job: condition QuotaReserved of its Workload."""
    try:
        workload = client.get_workload(job["metadata"]["namespace"], job["metadata"]["uid"])
    except ApiError as error:
        if error.code == 403:  # a Role without Workloads: the general message is still right
            return pending
        if error.code != 404:
            raise
        remedy = "but this cluster has no Kueue: install it, or remove spec.queueName"
        return pending.model_copy(update={"message": f"{pending.message}, {remedy}"})
    conditions = workload.get("status", {}).get("conditions", ()) if workload else ()
    for condition in conditions:
        if condition["type"] == "QuotaReserved" and condition["status"] == "False":
            return pending.model_copy(update={"message": f"{pending.message}: {condition['message']}"})
    return pending


def _not_started(client: Client, pods: Sequence[Mapping[str, Any]]) -> Failure | None:
    """Why the kubelet cannot start a scheduled pod; None if there is no warning, as while it pulls the image."""
    for pod in pods:
        metadata = pod["metadata"]
        warnings = client.list_warning_events(metadata["namespace"], metadata["uid"])
        blocking = [(reason, message) for reason, message in warnings if reason in STARTUP_EVENTS]
        if blocking and pod["status"].get("phase") == "Pending":
            reason, message = blocking[-1]
            return Failure(reason=reason, message=f"pod {metadata['name']}: {message}")
    return None
