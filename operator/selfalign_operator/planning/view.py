"""The state of every step of a run, derived from its manifest and one observation."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from selfalign_operator import graph
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.planning.attempts import Verdict, judge
from selfalign_operator.planning.observation import PREFLIGHT, Attempt, Observed
from selfalign_stages.contract.graph import Step, keys
from selfalign_stages.contract.model import canonical_json, sha256_hex
from selfalign_stages.contract.task import PreflightResult, Result

GOALS = ("evaluation-gate", "packaging-image")


@dataclass(frozen=True)
class StepView:
    """One step: `result` once its artifact is known to exist, `needed` while something waits for it."""

    step: Step
    key: str | None
    verdict: Verdict
    result: Result | None
    needed: bool

    @property
    def done(self) -> bool:
        """Whether the artifact exists."""
        return self.result is not None


@dataclass(frozen=True)
class View:
    """A run as the plan sees it. `preflight_key` names the answers that preflight has to give."""

    preflight_key: str
    preflight: Verdict
    answer: PreflightResult | None
    steps: dict[str, StepView]

    @property
    def gate_passed(self) -> bool:
        """Whether the gates were checked and passed."""
        gate = self.steps["evaluation-gate"].result
        return gate is not None and gate.metrics.get("passed") is True

    @property
    def complete(self) -> bool:
        """Whether every goal is reached."""
        return self.gate_passed and all(self.steps[goal].done for goal in GOALS)

    def startable(self, view: StepView) -> bool:
        """Whether a step is wanted, has all its inputs and no attempt that counts against it."""
        if not view.needed or view.verdict.state not in ("new", "retry"):
            return False
        if view.step.kind == "image" and not self.gate_passed:
            return False
        return all(self.steps[source].done for source in view.step.inputs.values())


def look(run: SelfAlignRun, observed: Observed, now: datetime) -> View:
    """Joins manifest and observation."""
    steps = graph.steps(run)
    key = preflight_key(run, steps)
    preflight = judge(_for_key(observed, PREFLIGHT, key), retries=run.spec.retries, now=now)
    answer = preflight.last.result if preflight.state == "done" and preflight.last is not None else None
    fresh = answer if isinstance(answer, PreflightResult) else None
    accepted = fresh is not None and not fresh.problems
    found = keys(steps, leaves=fresh.leaves, seed=run.spec.seed) if fresh is not None and accepted else {}
    verdicts = {
        step.id: judge(_for_key(observed, step.id, found.get(step.id)), retries=run.spec.retries, now=now)
        for step in steps
    }
    results = {step.id: _result(fresh, step.id, found.get(step.id), verdicts[step.id]) for step in steps}
    needed = _needed(steps, results) if accepted else set()
    views = {
        step.id: StepView(step, found.get(step.id), verdicts[step.id], results[step.id], step.id in needed)
        for step in steps
    }
    return View(key, preflight, fresh, views)


def preflight_key(run: SelfAlignRun, steps: tuple[Step, ...]) -> str:
    """Digest of all that preflight's answer depends on within the manifest."""
    spec = run.spec
    asked = {
        "baseModel": spec.base_model.plain(),
        "principles": spec.principles.plain(),
        "artifacts": spec.artifacts.plain() if spec.artifacts else None,
        "suites": [suite.plain() for suite in spec.stages.evaluation.suites],
        "steps": [[step.id, step.resolved()] for step in steps],
        "seed": spec.seed,
    }
    return sha256_hex(canonical_json(asked))


def _for_key(observed: Observed, id_: str, key: str | None) -> tuple[Attempt, ...]:
    return tuple(attempt for attempt in observed.of(id_) if attempt.key == key)


def _result(answer: PreflightResult | None, id_: str, key: str | None, verdict: Verdict) -> Result | None:
    if key is None:
        return None
    if verdict.state == "done" and verdict.last is not None and isinstance(verdict.last.result, Result):
        return verdict.last.result
    hit = answer.found.get(id_) if answer is not None else None
    return hit if hit is not None and hit.key == key else None


def _needed(steps: tuple[Step, ...], results: Mapping[str, Result | None]) -> set[str]:
    needed = {goal for goal in GOALS if results[goal] is None}
    for step in reversed(steps):
        if step.id in needed:
            needed |= {source for source in step.inputs.values() if results[source] is None}
    return needed
