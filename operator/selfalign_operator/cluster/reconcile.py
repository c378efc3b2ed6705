"""One look at one run: read, plan, carry out, and at last one write of the status. Level-triggered.

Whatever is interrupted is planned again from what is there: names of Jobs follow from the plan, so that creating one
twice is refused by the API server, and a second look at an unchanged world writes nothing.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import aiohttp
from pydantic import ValidationError

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus
from selfalign_operator.cluster import admission, events, observe, polling
from selfalign_operator.cluster.client import ApiError, Client
from selfalign_operator.cluster.health import Health
from selfalign_operator.cluster.observe import ClusterState
from selfalign_operator.cluster.status_throttle import POLL_SECONDS, StatusThrottle
from selfalign_operator.jobs import pack_snapshot
from selfalign_operator.jobs.identity import ATTEMPT, STEP
from selfalign_operator.jobs.job import StageImages, preflight_job, step_job
from selfalign_operator.manifest import error_messages
from selfalign_operator.planning.conditions import unreadable
from selfalign_operator.planning.observation import PREFLIGHT, Observed
from selfalign_operator.planning.plan import Action, Plan, RemoveAttempt, StartStep, StopAttempt, plan
from selfalign_operator.planning.run_state import derive
from selfalign_stages.contract.task import Failure, Problem

LOG = logging.getLogger(__name__)
RESYNC_SECONDS, BLOCKED_SECONDS = 600.0, 30.0


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Reconciler:
    """Looks at runs; `images` are what stage pods run."""

    client: Client
    images: StageImages
    http: aiohttp.ClientSession
    health: Health
    clock: Callable[[], datetime] = _now
    throttle: StatusThrottle = field(default_factory=StatusThrottle)

    async def reconcile(self, key: tuple[str, str]) -> float | None:
        """Brings a run one look further; seconds until the next look, None if it is gone."""
        try:
            body = await asyncio.to_thread(self.client.get_run, *key)
        except ApiError as refused:
            if refused.code == 404:
                self.throttle.forget(key)
                self.health.set_phase(key, None)
                return None
            raise
        if body["metadata"].get("deletionTimestamp"):
            return None
        run = read(body)
        if isinstance(run, ValidationError):
            told = unreadable(body["metadata"]["generation"], _status(body), _problems(body, run), self.clock())
            await asyncio.to_thread(self._refuse, body, told)
            self.health.set_phase(key, told.phase)
            return None
        return await self._reconcile(run)

    async def _reconcile(self, run: SelfAlignRun) -> float | None:
        seen = await asyncio.to_thread(observe.observe, self.client, run)
        progress = await polling.poll(self.http, seen.pods)
        now = self.clock()
        observed = await asyncio.to_thread(
            observe.explain_pending, self.client, seen, seen.observed(progress=progress, now=now)
        )
        if not _accepted(run):
            observed = await asyncio.to_thread(self._accept, run, seen, observed, now)
        planned = plan(run, observed, now)
        if planned.actions:
            blocked = await asyncio.to_thread(self._carry_out, run, seen, planned.actions)
            seen = await asyncio.to_thread(observe.observe, self.client, run)
            again = await asyncio.to_thread(
                observe.explain_pending, self.client, seen, seen.observed(progress=progress, now=now)
            )
            observed = replace(again, problems=observed.problems, blocked=blocked)
            planned = plan(run, observed, now)
        told = await asyncio.to_thread(self._tell, run, planned.status, now)
        self.health.set_phase(_key(run), planned.status.phase)
        later = _again(run, planned, observed, now)
        return later if told else min(later or POLL_SECONDS, POLL_SECONDS)

    def _refuse(self, body: observe.Object, told: RunStatus) -> None:
        """Tells what is wrong with a spec that the schema on this cluster let through."""
        if told.to_dict() != body.get("status"):
            self.client.apply_status(body["metadata"]["namespace"], body["metadata"]["name"], told.to_dict())

    def _accept(self, run: SelfAlignRun, seen: ClusterState, observed: Observed, now: datetime) -> Observed:
        answered, exists = derive(run, observed, now).answer is not None, seen.pack is not None
        found = admission.problems(self.client, run, images=self.images, pack_exists=exists, answered=answered)
        return replace(observed, problems=tuple(found))

    def _carry_out(self, run: SelfAlignRun, seen: ClusterState, actions: tuple[Action, ...]) -> Failure | None:
        """What the API server says against the last action that it refused; the others are carried out all the same."""
        blocked = None
        for action in actions:
            try:
                self._act(run, seen, action)
            except ApiError as refused:
                if refused.code not in admission.REFUSALS:
                    raise
                id_ = action.step.id if isinstance(action, StartStep) else PREFLIGHT
                blocked = Failure(reason="JobRefused", message=f"{id_}: the API server refuses its Job: {refused}")
        return blocked

    def _act(self, run: SelfAlignRun, seen: ClusterState, action: Action) -> None:
        if isinstance(action, StopAttempt | RemoveAttempt):
            self._delete(seen, action)
            return
        pack = pack_snapshot.name(run, pack_snapshot.digest(seen.pack)) if seen.pack is not None else None
        if isinstance(action, StartStep):
            self._create(run, step_job(run, action, images=self.images, pack=pack))
            return
        if seen.pack is not None:
            self._create(run, pack_snapshot.snapshot(run, seen.pack))
        self._create(run, preflight_job(run, action, images=self.images, pack=pack))

    def _create(self, run: SelfAlignRun, body: observe.Object) -> None:
        """Creates it; that it exists already is what was wanted, as its name has the run's uid in it."""
        try:
            self.client.create(body)
            if body["kind"] == "Job":
                self.health.count_job(*seen_as(body))
        except ApiError as refused:
            if refused.code != 409:
                raise
            LOG.info("%s/%s: %s exists", *_key(run), body["metadata"]["name"])

    def _delete(self, seen: ClusterState, action: StopAttempt | RemoveAttempt) -> None:
        for job in seen.jobs.values():
            if seen_as(job) == (action.id, action.attempt):
                self.client.delete_job(
                    job["metadata"]["namespace"], job["metadata"]["name"], uid=job["metadata"]["uid"]
                )

    def _tell(self, run: SelfAlignRun, status: RunStatus, now: datetime) -> bool:
        """Whether the run says it all now. Events come first: what is not written is told again by the same names."""
        if status.to_dict() == run.status.to_dict():
            return True
        if not self.throttle.reserve(run, status, self.clock()):
            return False
        for transition in events.transitions(run.status, status):
            self._announce(run, events.event(run, transition, now))
        self.health.count_ended_steps(run.status, status)
        try:
            self.client.apply_status(*_key(run), status.to_dict())
        except ApiError as refused:
            if refused.code != 404:
                raise
        return True

    def _announce(self, run: SelfAlignRun, event: observe.Object) -> None:
        """Creates an Event. One that may not be, as in a namespace that goes away, keeps no status from being told."""
        try:
            self._create(run, event)
        except ApiError as refused:
            if refused.code not in admission.REFUSALS:
                raise
            LOG.warning("%s/%s: cannot tell %s: %s", *_key(run), event["reason"], refused)


def _key(run: SelfAlignRun) -> tuple[str, str]:
    return run.metadata.namespace, run.metadata.name


def _again(run: SelfAlignRun, planned: Plan, observed: Observed, now: datetime) -> float | None:
    """When to look again although nothing happened; never at a run that only an edit of it can begin anew."""
    waits = [] if planned.finished and run.spec.principles.config_map_ref is None else [RESYNC_SECONDS]
    if planned.requeue_at is not None:
        waits.append(max((planned.requeue_at - now).total_seconds(), 0.0))
    if observed.running():
        waits.append(POLL_SECONDS)
    if observed.blocked is not None:
        waits.append(BLOCKED_SECONDS)
    return min(waits, default=None)


def _accepted(run: SelfAlignRun) -> bool:
    """Whether this generation was: an edit that leaves preflight's answer alone may still spoil a pod template."""
    told = run.status.condition("Accepted")
    return told is not None and told.status == "True" and told.observed_generation == run.metadata.generation


def read(body: observe.Object) -> SelfAlignRun | ValidationError:
    """The run; with an empty status where another version wrote one that we cannot read: the store knows enough."""
    for found in (body, {**body, "status": {}}):
        try:
            return SelfAlignRun.model_validate(found)
        except ValidationError as error:
            refused = error
    return refused


def _problems(body: observe.Object, error: ValidationError) -> list[Problem]:
    return [error_messages.problem(one, body) for one in error_messages.innermost(error.errors())]


def _status(body: observe.Object) -> RunStatus:
    try:
        return RunStatus.model_validate(body.get("status") or {})
    except ValidationError:
        return RunStatus()


def seen_as(job: observe.Object) -> tuple[str, int]:
    """Step and attempt of a Job."""
    labels = job["metadata"]["labels"]
    return labels[STEP], int(labels[ATTEMPT])
