"""Reconciles one SelfAlignRun: observe, plan, act, write the status once.

The loop is level-triggered: it derives everything from what it reads and may be interrupted after any write. Job names
are derived from the plan, so creating a Job twice is rejected by the API server (409 AlreadyExists), and reconciling an
unchanged cluster writes nothing. The status is written last, because a status that names a Job which was never created
would never be corrected.

Access to the API server: get SelfAlignRuns and patch their status; create and delete Jobs; create ConfigMaps (snapshots
of principle packs) and Events. The reads of `observe` and the dry runs of `admission` come on top.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import aiohttp
from pydantic import ValidationError

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus
from selfalign_operator.cluster import admission, deletion, events, observe, obstacles, polling, status_owners
from selfalign_operator.cluster.client import ApiError, Client, Object, RunKey
from selfalign_operator.cluster.decode import decode_run, decode_status, spec_problems, step_and_attempt
from selfalign_operator.cluster.equal_keys import EqualKeys
from selfalign_operator.cluster.health import Health
from selfalign_operator.cluster.observe import ClusterState
from selfalign_operator.cluster.status_throttle import POLL_SECONDS, StatusThrottle
from selfalign_operator.jobs import pack_snapshot
from selfalign_operator.jobs.form import form, with_form
from selfalign_operator.jobs.job import StageImages, preflight_job, step_job
from selfalign_operator.planning import internal_error, unplanned
from selfalign_operator.planning.conditions import invalid_spec_status
from selfalign_operator.planning.observation import PREFLIGHT, Observed
from selfalign_operator.planning.plan import Action, Plan, RemoveAttempt, StartPreflight, StartStep, StopAttempt, plan
from selfalign_operator.planning.run_state import derive
from selfalign_operator.planning.waiting import Rendering
from selfalign_stages.contract.task import Failure, Progress

LOG = logging.getLogger(__name__)
RESYNC_SECONDS = 600.0
"""Between two reconciles of a run without events: repairs what a lost event left undone, and notices an edit of a pack
whose ConfigMap carries no watch label."""
BLOCKED_SECONDS = 30.0
"""Until a refused Job is tried again. Quota that becomes free, or a changed policy, sends the operator no event."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Reconciler:
    """Drives runs towards their spec. Stateless between calls except for `throttle`.

    Attributes:
        client: talks to the API server; blocking, so it is called in threads.
        images: images of the stage pods, from the chart.
        http: session for polling the progress of pods.
        health: receives the metrics.
        clock: the current time in UTC.
        throttle: limits status writes.
        equal_keys: the work of all runs.
        operator: NAMESPACE/NAME of the operator's Lease, which its Jobs carry.
    """

    client: Client
    images: StageImages
    http: aiohttp.ClientSession
    health: Health
    clock: Callable[[], datetime] = _now
    throttle: StatusThrottle = field(default_factory=StatusThrottle)
    equal_keys: EqualKeys = field(default_factory=EqualKeys)
    operator: str = ""

    async def reconcile(self, key: RunKey) -> float | None:
        """Runs one reconcile of a run.

        Args:
            key: namespace and name of the run.

        Returns:
            Seconds until the run must be reconciled although no event arrives; None if only an event can change
            anything, or if the run is deleted or its spec is invalid.

        Raises:
            ApiError: a request failed; the work queue retries with backoff. A Job that the API server refuses is not
                an error here: the refusal becomes part of the status.
            Exception: a defect, which the run's conditions report; the work queue retries it as well.
        """
        try:
            body = await asyncio.to_thread(self.client.get_run, *key)
        except ApiError as error:
            if error.code != 404:
                raise
            # deleted: whatever is remembered about it must not apply to a new run of the same name
            self.throttle.forget(key)
            self.equal_keys.forget(key)
            self.health.set_phase(key, None)
            return None
        if body["metadata"].get("deletionTimestamp"):
            self.equal_keys.forget(key)
            return await self._release(body)
        try:
            run = decode_run(body)
            if isinstance(run, ValidationError):
                self.equal_keys.forget(key)
                await self._reject_spec(key, body, run)
                return None  # only an edit, which is an event, or another version of the operator changes anything
            return await self._reconcile_or_report(run)
        except ApiError:
            raise
        except Exception as error:  # whatever it is, its run must show it, and other runs must not
            await self._report_internal_error(key, body, error)
            raise

    async def _reconcile_or_report(self, run: SelfAlignRun) -> float | None:
        try:
            return await self._reconcile(run)
        except ApiError as error:
            if not obstacles.is_refusal(error):
                raise
            return await self._report(run, obstacles.explain(error, doing="reconcile the run"))

    async def _report(self, run: SelfAlignRun, failure: Failure) -> float:
        """Writes a status that says why the run cannot be reconciled; returns the seconds until it is tried again."""
        status = unplanned.blocked(run, failure, self.clock())
        if status.to_dict() != run.status.to_dict():
            LOG.warning("%s/%s: %s", *_key(run), failure.message)
        await asyncio.to_thread(self._write_status, run, status, self.clock())
        return BLOCKED_SECONDS

    async def _release(self, body: Object) -> float | None:
        """Stops the pods of a run that is deleted but kept by a finalizer of another party, and says so.

        Without such a finalizer garbage collection deletes the Jobs through their owner references.
        """
        finalizers = deletion.foreign_finalizers(body)
        if not finalizers:
            return None
        await asyncio.to_thread(deletion.stop, self.client, body)
        run = decode_run(body)
        if not isinstance(run, ValidationError):
            status = unplanned.deleting(run, finalizers, self.clock())
            await asyncio.to_thread(self._write_status, run, status, self.clock())
            self.health.set_phase(_key(run), status.phase)
        return RESYNC_SECONDS

    async def _reconcile(self, run: SelfAlignRun) -> float | None:
        # 1. Observe: Jobs and pods from the API server, progress from the pods.
        cluster = await asyncio.to_thread(observe.observe, self.client, run)
        progress = await polling.poll(self.http, cluster.pods)
        now = self.clock()
        observed = await asyncio.to_thread(self._explain, cluster, progress, now)
        if not _is_accepted(run):
            observed = await asyncio.to_thread(self._admit, run, cluster, observed, now)

        # 2. Plan: pure, from manifest, status and observation. No other run plans before the result is recorded.
        maker_of = self.equal_keys.maker_of(run)
        observed = replace(observed, maker_of=maker_of)
        planned = plan(run, observed, now, rendering=self._rendering(run, cluster))
        self.equal_keys.record(run, planned.work)

        # 3. Act. The status then has to name the new Jobs, so observe and plan once more, without acting on it:
        #    whatever the second plan adds is due in the reconcile that the new Jobs' events trigger.
        if planned.actions:
            blocked = await asyncio.to_thread(self._act, run, cluster, planned.actions)
            cluster = await asyncio.to_thread(observe.observe, self.client, run)
            reobserved = await asyncio.to_thread(self._explain, cluster, progress, now)
            # Problems follow from the manifest, which the actions have not changed. But preflight may have ended in the
            # meantime: before, its own Job alone was checked, and accepting the run now would skip all others.
            if not _is_accepted(run) and _answered(run, reobserved, now) and not _answered(run, observed, now):
                observed = await asyncio.to_thread(self._admit, run, cluster, reobserved, now)
            stopped = {(one.id, one.attempt) for one in planned.actions if isinstance(one, StopAttempt)}
            observed = replace(
                reobserved,
                problems=observed.problems,
                blocked=blocked,
                maker_of=maker_of,
                stopped=observed.stopped | stopped,
            )
            planned = plan(run, observed, now, rendering=self._rendering(run, cluster))
            self.equal_keys.record(run, planned.work)

        # 4. Write the status, unless it is unchanged or has to wait for the throttle.
        written = await asyncio.to_thread(self._write_status, run, planned.status, now)
        self.health.set_phase(_key(run), planned.status.phase)
        requeue_after = _requeue_after(run, planned, observed, now)
        return requeue_after if written else min(requeue_after or POLL_SECONDS, POLL_SECONDS)

    async def _reject_spec(self, key: RunKey, body: Object, error: ValidationError) -> None:
        """Reports a spec that the CustomResourceDefinition admits and this version cannot decode."""
        generation, problems = body["metadata"]["generation"], spec_problems(body, error)
        status = invalid_spec_status(generation, decode_status(body), problems, self.clock())
        if status.to_dict() != body.get("status"):
            await asyncio.to_thread(self.client.apply_status, *key, status.to_dict())
        self.health.set_phase(key, status.phase)

    async def _report_internal_error(self, key: RunKey, body: Object, error: Exception) -> None:
        """Puts a defect of the operator into the conditions of the run that it concerns."""
        previous = decode_status(body)
        status = internal_error.status(body["metadata"]["generation"], previous, error, self.clock())
        if status.to_dict() == previous.to_dict():
            return
        try:
            await asyncio.to_thread(self.client.apply_status, *key, status.to_dict())
        except ApiError as failed:
            # the work queue logs and retries the error itself
            LOG.warning("%s/%s: the status with %s was not written: %s", *key, internal_error.REASON, failed)

    def _explain(self, cluster: ClusterState, progress: Mapping[str, Progress], now: datetime) -> Observed:
        observed = cluster.observed(progress=progress, now=now, gpu_resources=self.images.gpu_resources)
        return observe.explain_pending(self.client, cluster, observed)

    def _admit(self, run: SelfAlignRun, cluster: ClusterState, observed: Observed, now: datetime) -> Observed:
        """Adds the problems that admission detects to the observation."""
        problems = admission.problems(
            self.client,
            run,
            images=self.images,
            pack_exists=cluster.pack is not None,
            preflight_answered=_answered(run, observed, now),
        )
        return replace(observed, problems=tuple(problems))

    def _act(self, run: SelfAlignRun, cluster: ClusterState, actions: tuple[Action, ...]) -> Failure | None:
        """Carries out all actions; one that the API server refuses does not keep the others from being carried out.

        Returns:
            The last refusal, None if there was none.
        """
        blocked = None
        for action in actions:
            try:
                self._execute(run, cluster, action)
            except ApiError as error:
                if not obstacles.is_refusal(error):
                    raise
                if isinstance(action, StopAttempt | RemoveAttempt):
                    blocked = obstacles.explain_job(error, id_=action.id, verb="delete")
                else:
                    id_ = action.step.id if isinstance(action, StartStep) else PREFLIGHT
                    blocked = obstacles.explain_job(error, id_=id_, verb="create")
        return blocked

    def _execute(self, run: SelfAlignRun, cluster: ClusterState, action: Action) -> None:
        if isinstance(action, StopAttempt | RemoveAttempt):
            # deleting a Job sends SIGTERM to its pods, which is all that stopping takes
            self._delete_job(cluster, action)
            return
        # preflight comes before every step, so the snapshot exists before any pod mounts it
        if isinstance(action, StartPreflight) and cluster.pack is not None:
            self._create(run, pack_snapshot.snapshot(run, cluster.pack))
        job = self._job(run, cluster, action)
        if self._create(run, with_form(job, operator=self.operator)):
            step, attempt = step_and_attempt(job)
            self.health.count_job(step, 1 if action.replacement else attempt)

    def _job(self, run: SelfAlignRun, cluster: ClusterState, action: StartPreflight | StartStep) -> Object:
        pack = pack_snapshot.name(run, pack_snapshot.digest(cluster.pack)) if cluster.pack is not None else None
        if isinstance(action, StartStep):
            return step_job(run, action, images=self.images, pack=pack)
        return preflight_job(run, action, images=self.images, pack=pack)

    def _rendering(self, run: SelfAlignRun, cluster: ClusterState) -> Rendering:
        return Rendering(form=lambda start: form(self._job(run, cluster, start)), operator=self.operator)

    def _create(self, run: SelfAlignRun, body: Object) -> bool:
        """Creates an object. AlreadyExists is success: the name contains the run's uid and follows from the plan.

        Returns:
            False if it existed already.
        """
        try:
            self.client.create(body)
        except ApiError as error:
            if error.code != 409:
                raise
            LOG.info("%s/%s: %s %s already exists", *_key(run), body["kind"], body["metadata"]["name"])
            return False
        return True

    def _delete_job(self, cluster: ClusterState, action: StopAttempt | RemoveAttempt) -> None:
        for job in cluster.jobs.values():
            if step_and_attempt(job) == (action.id, action.attempt):
                metadata = job["metadata"]
                unchanged = isinstance(action, StopAttempt) and action.if_unchanged
                version = metadata["resourceVersion"] if unchanged else None
                self.client.delete_job(
                    metadata["namespace"], metadata["name"], uid=metadata["uid"], resource_version=version
                )

    def _write_status(self, run: SelfAlignRun, status: RunStatus, now: datetime) -> bool:
        """Creates the Events of a status change, then writes the status.

        Events come first: if the status write fails, the next reconcile repeats both and the Events' names prevent
        duplicates. In the other order, a crash in between would lose the Events.

        Returns:
            False if the throttle postpones the write; the caller has to requeue the run.
        """
        if status.to_dict() == run.status.to_dict():
            return True
        if not self.throttle.reserve(run, status, self.clock()):
            return False
        for transition in events.transitions(run.status, status):
            self._create_event(run, events.event(run, transition, now))
        try:
            self._store_status(run, status)
        except ApiError as error:
            if error.code != 404:  # 404: the run was deleted since it was read
                raise
            return True
        # after the write: a failed one is repeated from the same status, and would count its steps again
        self.health.count_ended_steps(run.status, status)
        return True

    def _store_status(self, run: SelfAlignRun, status: RunStatus) -> None:
        """Writes the whole status, also where other parties own fields of it."""
        if not status_owners.shared((run.metadata.model_extra or {}).get("managedFields")):
            self.client.apply_status(*_key(run), status.to_dict())
            return
        body = self.client.get_run(*_key(run))
        patch = status_owners.merge_patch(body.get("status") or {}, status.to_dict())
        self.client.merge_status(*_key(run), patch, version=body["metadata"]["resourceVersion"])

    def _create_event(self, run: SelfAlignRun, event: Object) -> None:
        """Creates an Event. A namespace that refuses it (terminating, policy) must not keep the status unwritten."""
        try:
            self._create(run, event)
        except ApiError as error:
            if not obstacles.is_refusal(error):
                raise
            LOG.warning("%s/%s: Event %s was refused: %s", *_key(run), event["reason"], error)


def _key(run: SelfAlignRun) -> RunKey:
    return run.metadata.namespace, run.metadata.name


def _requeue_after(run: SelfAlignRun, planned: Plan, observed: Observed, now: datetime) -> float | None:
    """Seconds until the next reconcile if no event arrives; None for a finished run that only an edit can restart."""
    # the pack of a finished run may be edited without an event, if its ConfigMap is not labelled
    delays = [] if planned.finished and run.spec.principles.config_map_ref is None else [RESYNC_SECONDS]
    if planned.requeue_at is not None:
        delays.append(max((planned.requeue_at - now).total_seconds(), 0.0))
    if observed.running():
        delays.append(POLL_SECONDS)  # progress changes without an event
    if observed.blocked is not None:
        delays.append(BLOCKED_SECONDS)
    return min(delays, default=None)


def _answered(run: SelfAlignRun, observed: Observed, now: datetime) -> bool:
    """Whether preflight has a result for this spec."""
    return derive(run, observed, now).preflight_result is not None


def _is_accepted(run: SelfAlignRun) -> bool:
    """Whether this generation is accepted. An older one does not count: an edit may break a pod template alone."""
    accepted = run.status.condition("Accepted")
    return (
        accepted is not None and accepted.status == "True" and accepted.observed_generation == run.metadata.generation
    )
