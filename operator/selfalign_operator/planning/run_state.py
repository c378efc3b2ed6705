"""The state of every step of a run, derived from its manifest and one observation."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import Preemptions, StepStatus, Usage
from selfalign_operator.planning import graph, recorded, usage
from selfalign_operator.planning.observation import PREFLIGHT, Attempt, Observed
from selfalign_operator.planning.retries import Verdict, judge
from selfalign_stages.contract.graph import GATE_STEP, Step, keys
from selfalign_stages.contract.model import canonical_json, sha256_hex
from selfalign_stages.contract.task import Failure, PreflightResult, Result


@dataclass(frozen=True)
class StepState:
    """One step: `result` once its artifact is known to exist, `needed` while something waits for it."""

    step: Step
    key: str | None
    verdict: Verdict
    result: Result | None
    needed: bool
    gpu_seconds: float = 0
    preempted: Preemptions | None = None

    @property
    def done(self) -> bool:
        """Whether the artifact exists."""
        return self.result is not None


@dataclass(frozen=True)
class RunState:
    """A run as the plan sees it. `preflight_key` names the answers that preflight has to give."""

    preflight_key: str
    preflight: Verdict
    answer: PreflightResult | None
    steps: dict[str, StepState]
    goals: tuple[str, ...]
    usage: Usage | None = None
    blocked: Failure | None = None

    @property
    def gate_passed(self) -> bool:
        """Whether the gates were checked and passed."""
        gate = self.steps[GATE_STEP].result
        return gate is not None and gate.metrics.get("passed") is True

    @property
    def complete(self) -> bool:
        """Whether every goal is reached."""
        return self.gate_passed and all(self.steps[goal].done for goal in self.goals)

    def startable(self, view: StepState) -> bool:
        """Whether a step is wanted, has all its inputs and no attempt that counts against it."""
        if not view.needed or view.verdict.state not in ("new", "retry"):
            return False
        if view.step.kind in ("image", "push") and not self.gate_passed:
            return False
        return all(self.steps[source].done for source in view.step.inputs.values())


def derive(run: SelfAlignRun, observed: Observed, now: datetime) -> RunState:
    """Joins manifest and observation."""
    steps = graph.steps(run)
    key = preflight_key(run, steps, pack=observed.pack)
    preflight = judge(_for_key(run, observed, PREFLIGHT, key), retries=run.spec.retries, now=now)
    answer = preflight.last.result if preflight.state == "done" and preflight.last is not None else None
    fresh = answer if isinstance(answer, PreflightResult) else recorded.preflight_result(run, key)
    if observed.problems:
        others = tuple(one for one in (fresh.problems if fresh else ()) if one not in observed.problems)
        fresh = PreflightResult(leaves=fresh.leaves if fresh else {}, problems=(*observed.problems, *others))
    accepted = fresh is not None and not fresh.problems
    found = keys(steps, leaves=fresh.leaves, seed=run.spec.seed) if fresh is not None and accepted else {}
    told, tried = run.status.steps, {step.id: _for_key(run, observed, step.id, found.get(step.id)) for step in steps}
    preempted = {id_: usage.preemptions(_told(run, id_, found.get(id_)), of) for id_, of in tried.items()}
    verdicts = {
        id_: judge(of, retries=run.spec.retries, now=now, stops=stops.total if (stops := preempted[id_]) else 0)
        for id_, of in tried.items()
    }
    moment, recorded_usage = (
        now.replace(microsecond=0),
        run.status.usage,
    )  # as a status is written: nothing is counted twice
    added = usage.device_seconds(observed, since=recorded_usage.counted_until if recorded_usage else None, until=moment)
    known = (fresh.hits if fresh is not None else {}), recorded.step_results(run.status)
    results = {step.id: _result(known, step.id, found.get(step.id), verdicts[step.id]) for step in steps}
    goals = graph.goals(run)
    needed = _needed(steps, results, goals) if accepted else set()
    views = {
        step.id: StepState(
            step,
            found.get(step.id),
            verdicts[step.id],
            results[step.id],
            step.id in needed,
            gpu_seconds=_spent(told.get(step.id)) + added.get(step.id, 0),
            preempted=preempted[step.id],
        )
        for step in steps
    }
    return RunState(
        key, preflight, fresh, views, goals, usage.accumulate(recorded_usage, added, until=moment), observed.blocked
    )


def preflight_key(run: SelfAlignRun, steps: tuple[Step, ...], *, pack: str | None = None) -> str:
    """Digest of all that preflight's answer depends on within the manifest, and of the pack where that is seen."""
    spec = run.spec
    asked = {
        "baseModel": spec.base_model.to_dict(),
        "principles": spec.principles.to_dict(),
        "artifacts": spec.artifacts.to_dict() if spec.artifacts else None,
        "suites": [suite.to_dict() for suite in spec.stages.evaluation.suites],
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


def _told(run: SelfAlignRun, id_: str, key: str | None) -> Preemptions | None:
    """Stops so far, which an edit forgives like every failure."""
    step = run.status.steps.get(id_)
    if step is None or step.key != key or run.status.observed_generation != run.metadata.generation:
        return None
    return step.preempted


def _spent(step: StepStatus | None) -> float:
    return step.gpu_seconds or 0 if step is not None else 0


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
