"""Runs, attempts and results for the operator's tests, and a world that carries a plan's actions out."""

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
    known: dict[str, dict[str, Any]] = {
        "evaluation-gate": {"passed": True, "failedGates": "", "base.hhh.overall": 0.5},
        "packaging-image": {"image": "localhost/trial:candidate", "digest": "sha256:abc", "size": 7},
    }
    numbers = known.get(id_, {}) | metrics
    return Result.model_validate({"key": key, "cache": cache, "digest": f"sha256:{id_}", "metrics": numbers})


@dataclass
class World:
    """Processes that end when `end` is called, and a clock that moves when told."""

    run: SelfAlignRun
    slots: int | None = None
    now: datetime = NOW
    found: Mapping[str, Result] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    attempts: dict[str, list[Attempt]] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)

    def observed(self) -> Observed:
        return Observed({id_: tuple(found) for id_, found in self.attempts.items()}, self.slots)

    def plan(self) -> Plan:
        return plan(self.run, self.observed(), self.now)

    def act(self) -> Plan:
        current = self.plan()
        for action in current.actions:
            if isinstance(action, StopAttempt):
                self.change(action.id, stopping=True)
                continue
            if isinstance(action, RemoveAttempt):
                self.attempts[action.id] = [a for a in self.attempts[action.id] if a.number != action.attempt]
                continue
            id_ = PREFLIGHT if isinstance(action, StartPreflight) else action.step.id
            attempt = Attempt(key=action.key, number=action.attempt, started=self.now)
            self.attempts.setdefault(id_, []).append(attempt)
            self.started.append(id_)
            if isinstance(action, StartStep):
                self._inputs_exist(action)
        self.run = self.run.model_copy(update={"status": current.status})
        return current

    def running(self) -> list[str]:
        return sorted(self.observed().running())

    def end(self, id_: str, code: int = 0, *, answer: PreflightResult | None = None) -> None:
        attempt = self.attempts[id_][-1]
        told: Result | PreflightResult | None = None
        if code == 0 and id_ == PREFLIGHT:
            told = answer or PreflightResult(leaves=leaf_digests(self.run), hits=dict(self.found))
        elif code == 0:
            told = result(id_, attempt.key, **self.metrics.get(id_, {}))
        self.change(id_, exit_code=code, finished=self.now, result=told)

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def to_the_end(self, choose: Callable[[list[str]], str] = lambda ids: ids[0]) -> Plan:
        """Ends one process after the other until nothing is left to do."""
        current = self.act()
        while self.running() or current.requeue_at is not None and not current.finished:
            if self.running():
                self.end(choose(self.running()))
            elif current.requeue_at is not None:
                self.now = max(self.now, current.requeue_at)
            current = self.act()
        return current

    def change(self, id_: str, **changes: Any) -> None:
        self.attempts[id_][-1] = replace(self.attempts[id_][-1], **changes)

    def _inputs_exist(self, action: StartStep) -> None:
        published = {found.key for found in self.found.values()} | {
            attempt.key for tried in self.attempts.values() for attempt in tried if attempt.exit_code == 0
        }
        missing = [name for name, ref in action.inputs.items() if ref.key not in published]
        assert not missing, f"{action.step.id} was started before {missing}"
