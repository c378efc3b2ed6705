"""One look at a run's part of the cluster, turned into what the plan sees."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.cluster.api import Api
from selfalign_operator.jobs import seen, snapshot
from selfalign_operator.jobs.identity import RUN_UID, SELECTOR
from selfalign_operator.planning.observation import Attempt, Observed
from selfalign_stages.contract.task import Progress

Object = dict[str, Any]
WARNINGS_SHOWN = 1


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
    """The same, with the words of quota and admission for Jobs that get no pods: only Events hold them."""
    attempts = {
        id_: tuple(_explained(api, world, attempt) for attempt in tried) for id_, tried in observed.attempts.items()
    }
    return replace(observed, attempts=attempts)


def _explained(api: Api, world: World, attempt: Attempt) -> Attempt:
    if attempt.held is None or attempt.held.reason != "NoPods" or attempt.job is None:
        return attempt
    metadata = world.jobs[attempt.job]["metadata"]
    said = api.warnings_about(metadata["namespace"], metadata["uid"])[-WARNINGS_SHOWN:]
    if not said:
        return attempt
    reason = "QuotaExceeded" if "exceeded quota" in said[-1] else "PodsRefused"
    return replace(attempt, held=attempt.held.model_copy(update={"reason": reason, "message": said[-1]}))
