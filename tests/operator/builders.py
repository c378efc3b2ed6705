"""Runs, attempts and results for the operator's tests, and a simulation that carries out a plan's actions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.planning import graph
from selfalign_operator.planning.observation import PREFLIGHT, Attempt, Observed
from selfalign_operator.planning.plan import Plan, RemoveAttempt, StartPreflight, StartStep, StopAttempt, plan
from selfalign_stages.contract.task import PreflightResult, Result

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def manifest(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "selfalign.dev/v1alpha1",
        "kind": "SelfAlignRun",
        "metadata": {"name": "trial"},
        "spec": {"baseModel": {"uri": "builtin://hamlet"}} | spec,
    }


def run(**spec: Any) -> SelfAlignRun:
    return SelfAlignRun.model_validate(manifest(**spec))


def leaf_digests(of: SelfAlignRun) -> dict[str, str]:
    return {name: f"sha256:{name}" for name in graph.leaves(of)}


def result(id_: str, key: str, *, cache: str = "Miss", **metrics: Any) -> Result:
    """A published result; gate and image steps have the metrics that the plan and the status read."""
    defaults: dict[str, dict[str, Any]] = {
        "evaluation-gate": {"passed": True, "failedGates": "", "base.hhh.overall": 0.5},
        "packaging-image": {"image": "localhost/trial:candidate", "digest": "sha256:abc", "size": 7},
    }
    numbers = defaults.get(id_, {}) | metrics
    return Result.model_validate({"key": key, "cache": cache, "digest": f"sha256:{id_}", "metrics": numbers})


@dataclass
class SimulatedRun:
    """A run whose processes end when `end` is called, with a clock that `advance` moves.

    Attributes:
        run: the manifest, with the status of the last reconciliation.
        slots: free slots, as in Observed.
        now: the simulated time.
        hits: results by step id that preflight finds in the store.
        metrics: metrics by step id that published results have besides the default ones.
        attempts: the attempts by process id, as Jobs or local processes would show them.
        started: process ids in the order of their starts.
    """

    run: SelfAlignRun
    slots: int | None = None
    now: datetime = NOW
    hits: Mapping[str, Result] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    attempts: dict[str, list[Attempt]] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)

    def observed(self) -> Observed:
        return Observed({id_: tuple(attempts) for id_, attempts in self.attempts.items()}, self.slots)

    def plan(self) -> Plan:
        return plan(self.run, self.observed(), self.now)

    def reconcile(self) -> Plan:
        """Plans once, carries out the actions, and writes the status that was planned before them."""
        current = self.plan()
        for action in current.actions:
            if isinstance(action, StopAttempt):
                self.change(action.id, stopping=True)
                continue
            if isinstance(action, RemoveAttempt):
                kept = [attempt for attempt in self.attempts[action.id] if attempt.number != action.attempt]
                self.attempts[action.id] = kept
                continue
            id_ = PREFLIGHT if isinstance(action, StartPreflight) else action.step.id
            attempt = Attempt(key=action.key, number=action.attempt, started=self.now, retry=action.retry)
            self.attempts.setdefault(id_, []).append(attempt)
            self.started.append(id_)
            if isinstance(action, StartStep):
                self._check_inputs_exist(action)
        self.run = self.run.model_copy(update={"status": current.status})
        return current

    def running(self) -> list[str]:
        return sorted(self.observed().running())

    def end(self, id_: str, code: int = 0, *, answer: PreflightResult | None = None) -> None:
        """Ends the newest attempt; `answer` replaces preflight's result, which accepts the run otherwise."""
        attempt = self.attempts[id_][-1]
        published: Result | PreflightResult | None = None
        if code == 0 and id_ == PREFLIGHT:
            published = answer or PreflightResult(leaves=leaf_digests(self.run), hits=dict(self.hits))
        elif code == 0:
            published = result(id_, attempt.key, **self.metrics.get(id_, {}))
        self.change(id_, exit_code=code, finished=self.now, result=published)

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def to_the_end(self, choose: Callable[[list[str]], str] = lambda ids: ids[0]) -> Plan:
        """Ends one process after the other until nothing is left to do."""
        current = self.reconcile()
        while self.running() or current.requeue_at is not None and not current.finished:
            if self.running():
                self.end(choose(self.running()))
            elif current.requeue_at is not None:
                self.now = max(self.now, current.requeue_at)
            current = self.reconcile()
        return current

    def change(self, id_: str, **changes: Any) -> None:
        """Replaces fields of the newest attempt."""
        self.attempts[id_][-1] = replace(self.attempts[id_][-1], **changes)

    def _check_inputs_exist(self, action: StartStep) -> None:
        published = {hit.key for hit in self.hits.values()} | {
            attempt.key for tried in self.attempts.values() for attempt in tried if attempt.exit_code == 0
        }
        missing = [name for name, ref in action.inputs.items() if ref.key not in published]
        assert not missing, f"{action.step.id} was started before {missing}"


def simulated_after(*finished: str, **spec: Any) -> SimulatedRun:
    """A run whose preflight and `finished` steps have succeeded, and whose next steps are started."""
    simulated = SimulatedRun(run(**spec))
    for id_ in (PREFLIGHT, *finished):
        simulated.reconcile()
        simulated.end(id_)
    simulated.reconcile()
    return simulated
