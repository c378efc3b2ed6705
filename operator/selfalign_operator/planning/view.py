"""The state of every step of a run, derived from its manifest and one observation."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from selfalign_operator import graph
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.planning import memory
from selfalign_operator.planning.attempts import Verdict, judge
from selfalign_operator.planning.observation import PREFLIGHT, Attempt, Observed
from selfalign_stages.contract.graph import Step, keys
from selfalign_stages.contract.model import canonical_json, sha256_hex
from selfalign_stages.contract.task import PreflightResult, Result


@dataclass(frozen=True)
class StepView:
    """One step: `result` once its artifact is known to exist, `needed` while something waits for it."""

    step: Step
    key: str | None
    verdict: Verdict
    result: Result | None
    needed: bool
    device_seconds: float = 0

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
    goals: tuple[str, ...]

    @property
    def gate_passed(self) -> bool:
        """Whether the gates were checked and passed."""
        gate = self.steps["evaluation-gate"].result
        return gate is not None and gate.metrics.get("passed") is True

    @property
    def complete(self) -> bool:
        """Whether every goal is reached."""
        return self.gate_passed and all(self.steps[goal].done for goal in self.goals)

    def startable(self, view: StepView) -> bool:
        """Whether a step is wanted, has all its inputs and no attempt that counts against it."""
        if not view.needed or view.verdict.state not in ("new", "retry"):
            return False
        if view.step.kind in ("image", "push") and not self.gate_passed:
            return False
        return all(self.steps[source].done for source in view.step.inputs.values())


def look(run: SelfAlignRun, observed: Observed, now: datetime) -> View:
    """Joins manifest and observation."""
    steps = graph.steps(run)
    key = preflight_key(run, steps, pack=observed.pack)
    preflight = judge(_for_key(run, observed, PREFLIGHT, key), retries=run.spec.retries, now=now)
    answer = preflight.last.result if preflight.state == "done" and preflight.last is not None else None
    fresh = answer if isinstance(answer, PreflightResult) else memory.answer(run, key)
    if observed.problems:
        fresh = PreflightResult(problems=observed.problems)
    accepted = fresh is not None and not fresh.problems
    found = keys(steps, leaves=fresh.leaves, seed=run.spec.seed) if fresh is not None and accepted else {}
    verdicts = {
        step.id: judge(_for_key(run, observed, step.id, found.get(step.id)), retries=run.spec.retries, now=now)
        for step in steps
    }
    known = (fresh.found if fresh is not None else {}), memory.results(run.status)
    results = {step.id: _result(known, step.id, found.get(step.id), verdicts[step.id]) for step in steps}
    goals = graph.goals(run)
    needed = _needed(steps, results, goals) if accepted else set()
    views = {
        step.id: StepView(
            step,
            found.get(step.id),
            verdicts[step.id],
            results[step.id],
            step.id in needed,
            device_seconds=round(sum(attempt.device_seconds for attempt in observed.of(step.id)), 1),
        )
        for step in steps
    }
    return View(key, preflight, fresh, views, goals)


def preflight_key(run: SelfAlignRun, steps: tuple[Step, ...], *, pack: str | None = None) -> str:
    """Digest of all that preflight's answer depends on within the manifest, and of the pack where that is seen."""
    spec = run.spec
    asked = {
        "baseModel": spec.base_model.plain(),
        "principles": spec.principles.plain(),
        "artifacts": spec.artifacts.plain() if spec.artifacts else None,
        "suites": [suite.plain() for suite in spec.stages.evaluation.suites],
        "steps": [[step.id, step.resolved()] for step in steps],
        "seed": spec.seed,
    } | ({"pack": pack} if pack else {})
    return sha256_hex(canonical_json(asked))


def _for_key(run: SelfAlignRun, observed: Observed, id_: str, key: str | None) -> tuple[Attempt, ...]:
    """Attempts that count: an edit of the spec forgives what failed or was refused before it."""
    generation = run.metadata.generation
    return tuple(
        attempt
        for attempt in observed.of(id_)
        if attempt.key == key and (attempt.running or _stands(attempt) or attempt.generation in (None, generation))
    )


def _stands(attempt: Attempt) -> bool:
    """Whether what it found holds for later generations as well."""
    found = attempt.result
    return found is not None and not (isinstance(found, PreflightResult) and found.problems)


def _result(known: Iterable[Mapping[str, Result]], id_: str, key: str | None, verdict: Verdict) -> Result | None:
    if key is None:
        return None
    if verdict.state == "done" and verdict.last is not None and isinstance(verdict.last.result, Result):
        return verdict.last.result
    hits = (found[id_] for found in known if id_ in found)
    return next((hit for hit in hits if hit.key == key), None)


def _needed(steps: tuple[Step, ...], results: Mapping[str, Result | None], goals: tuple[str, ...]) -> set[str]:
    needed = {goal for goal in goals if results[goal] is None}
    for step in reversed(steps):
        if step.id in needed:
            needed |= {source for source in step.inputs.values() if results[source] is None}
    return needed
