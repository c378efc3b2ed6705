"""Derives the state of a run and of each of its steps from manifest, status and one observation. Pure.

A step's state is derived in full at every reconciliation instead of being advanced from event to event: events are lost
when the operator restarts, and a derived state cannot contradict the Jobs that exist. Three sources show that a step is
done, in this order: an observed attempt, preflight's search of the store, and the status. None of them does once a
later step reports that the artifact is lost (`losses`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import FailedAttempts, Preemptions, StepStatus, StoreStatus, Usage
from selfalign_operator.planning import failed_attempts, graph, losses, recorded, retry, store_moves, usage, waiting
from selfalign_operator.planning.equal_keys import OWN_KINDS, Maker
from selfalign_operator.planning.losses import Loss
from selfalign_operator.planning.observation import PREFLIGHT, Attempt, Observed
from selfalign_operator.planning.results import Evidence, waits_for
from selfalign_operator.planning.retries import INPUT_LOST, Verdict, is_out_of_memory, judge
from selfalign_operator.planning.retry import Request
from selfalign_operator.planning.waiting import Beginning
from selfalign_stages.contract.exits import ExitCode
from selfalign_stages.contract.graph import GATE_STEP, Step, keys
from selfalign_stages.contract.model import canonical_json, sha256_hex
from selfalign_stages.contract.task import Failure, PreflightResult, Problem, Result


@dataclass(frozen=True)
class StepState:
    """One step of a run.

    Attributes:
        step: the step, from the graph.
        key: key of its artifact; None until preflight has accepted the run, since keys include leaf digests.
        verdict: what its attempts for this key amount to.
        result: its result once the artifact is known to exist.
        needed: whether an unfinished goal depends on it. A step that is neither needed nor done is skipped.
        gpu_seconds: device seconds of all its pods so far, over all attempts and keys.
        preempted: its preemptions for this key and generation, None if there were none.
        waits_for: id of the step that makes a lost input of this one anew; None if none does.
        waits_for_run: another run that makes the same artifact, if this step would otherwise be started.
        failed: its failed attempts for this key and generation, None if there were none.
    """

    step: Step
    key: str | None
    verdict: Verdict
    result: Result | None
    needed: bool
    gpu_seconds: float = 0
    preempted: Preemptions | None = None
    waits_for: str | None = None
    waits_for_run: Maker | None = None
    failed: FailedAttempts | None = None

    @property
    def done(self) -> bool:
        """Whether the artifact exists."""
        return self.result is not None


@dataclass(frozen=True)
class RunState:
    """A whole run.

    Attributes:
        preflight_key: digest of everything that preflight's result depends on.
        preflight: what the attempts at preflight for this key amount to.
        preflight_result: the newest result for this key, joined with the problems that the operator detected itself;
            None while there is none. Problems refuse the run.
        steps: state by step id, in topological order.
        goals: ids of the steps that complete the run.
        usage: device seconds of the run so far.
        blocked: the API server's refusal of a planned Job.
        retry: what the run's annotation selfalign.dev/retry asks for.
        beginnings: what is known of the beginning of the newest attempt, by process id.
        preflight_failed: the failed attempts at preflight for this key and generation, None if there were none.
        store: the store that the results are in.
        hangs: what keeps pods from ending, by process id, those of earlier keys included.
        orphans: names of running Jobs of an earlier run of the same name.
    """

    preflight_key: str
    preflight: Verdict
    preflight_result: PreflightResult | None
    steps: dict[str, StepState]
    goals: tuple[str, ...]
    usage: Usage | None = None
    blocked: Failure | None = None
    retry: Request = Request("", "")
    beginnings: Mapping[str, Beginning] = field(default_factory=dict)
    preflight_failed: FailedAttempts | None = None
    store: StoreStatus = StoreStatus(address="")
    hangs: Mapping[str, Failure] = field(default_factory=dict)
    orphans: tuple[str, ...] = ()

    def beginning(self, id_: str) -> Beginning:
        """Returns what is known of the beginning of the newest attempt at a process."""
        return self.beginnings.get(id_, Beginning())

    @property
    def gate_passed(self) -> bool:
        """Whether the gates were evaluated and all passed."""
        gate = self.steps[GATE_STEP].result
        return gate is not None and gate.metrics.get("passed") is True

    @property
    def complete(self) -> bool:
        """Whether every goal is reached."""
        return self.gate_passed and all(self.steps[goal].done for goal in self.goals)

    def startable(self, step: StepState) -> bool:
        """Returns whether a step is ready, new or due for a retry, and made by no other run."""
        return step.verdict.state in ("new", "retry") and step.waits_for_run is None and self.ready(step)

    def ready(self, step: StepState) -> bool:
        """Returns whether a step is needed and has all its inputs."""
        if not step.needed:
            return False
        # The image step reads the gate's artifact, which exists for failed gates too: the report is published anyway.
        if step.step.kind in ("image", "push") and not self.gate_passed:
            return False
        return all(self.steps[id_].done for id_ in (*step.step.inputs.values(), *step.step.after))


def derive(run: SelfAlignRun, observed: Observed, now: datetime) -> RunState:
    """Derives the state of a run.

    Args:
        run: the manifest, with the status of the previous reconciliation.
        observed: attempts and free slots.
        now: the current time; decides whether a backoff is over, and until when usage is counted.
    """
    steps = graph.steps(run)
    request = retry.read(run, [step.id for step in steps])
    is_current = partial(_is_current, run, request)
    key = preflight_key(run, steps, pack=observed.pack)
    tried_preflight = _attempts_for_key(run, observed, PREFLIGHT, key, is_current)
    preflight_failed = failed_attempts.count(
        run, observed, PREFLIGHT, key, tried_preflight, now, retried=request.is_new
    )
    preflight = judge(tried_preflight, retries=run.spec.retries, now=now, failed=preflight_failed)
    preflight_result = _preflight_result(run, key, preflight, observed.problems, retried=request.is_new)
    preflight = _answered_before(preflight, preflight_result)
    step_keys = _step_keys(run, steps, preflight_result)
    store = store_moves.store(run)
    attempts = {
        step.id: store_moves.in_store(
            _attempts_for_key(run, observed, step.id, step_keys.get(step.id), is_current), store
        )
        for step in steps
    }
    preempted = {
        id_: usage.preemptions(_recorded_preemptions(run, request, id_, step_keys.get(id_)), tried)
        for id_, tried in attempts.items()
    }
    reported = losses.reported(observed)
    lost = {id_: reported[key] for id_, key in step_keys.items() if key in reported}
    failed = {
        id_: failed_attempts.count(run, observed, id_, step_keys.get(id_), tried, now, retried=request.is_new)
        for id_, tried in attempts.items()
    }
    verdicts = _verdicts(run, attempts, lost, preempted, failed, now, is_current)
    newest = {id_: tried[-1] for id_, tried in attempts.items() if tried}
    evidence = Evidence(store_moves.results_of(run), preflight, preflight_result, newest, lost)
    results = {id_: evidence.result(id_, step_keys.get(id_), verdict) for id_, verdict in verdicts.items()}
    makers = _makers(
        run, observed, preflight, {step.id: step for step in steps if results[step.id] is None}, step_keys, lost
    )
    results |= {id_: maker.hit for id_, maker in makers.items()}
    goals = tuple(dict.fromkeys((*retry.goals(steps), *graph.goals(run))))
    needed = _needed_steps(steps, results, goals) if _accepted(preflight_result) else set()
    device_seconds, total_usage = _usage(run, observed, now)
    step_states = {
        step.id: StepState(
            step=step,
            key=step_keys.get(step.id),
            verdict=verdicts[step.id],
            result=results[step.id],
            needed=step.id in needed,
            gpu_seconds=_recorded_gpu_seconds(run.status.steps.get(step.id)) + device_seconds.get(step.id, 0),
            preempted=preempted[step.id],
            failed=failed[step.id],
            waits_for=waits_for(step, verdicts[step.id], step_keys, results),
        )
        for step in steps
    }
    state = RunState(
        preflight_key=key,
        preflight=preflight,
        preflight_result=preflight_result,
        steps=step_states,
        goals=goals,
        preflight_failed=preflight_failed,
        store=store,
        usage=total_usage,
        blocked=observed.blocked,
        retry=request,
        beginnings=_beginnings(run, observed),
        hangs=_hangs(observed),
        orphans=observed.orphans,
    )
    return replace(state, steps={id_: _waiting(state, step, makers.get(id_)) for id_, step in step_states.items()})


def _makers(
    run: SelfAlignRun,
    observed: Observed,
    preflight: Verdict,
    unfinished: Mapping[str, Step],
    step_keys: Mapping[str, str],
    lost: Mapping[str, Loss],
) -> dict[str, Maker]:
    """Other runs that make, or have made, the artifacts of unfinished steps. What was lost is made by this run."""
    searched = preflight.last.started if preflight.last is not None else run.status.start_time
    found = {
        id_: observed.maker_of(step_keys[id_], searched)
        for id_, step in unfinished.items()
        if id_ in step_keys and id_ not in lost and step.kind not in OWN_KINDS
    }
    return {id_: maker for id_, maker in found.items() if maker is not None}


def _waiting(state: RunState, step: StepState, maker: Maker | None) -> StepState:
    """The step, waiting for another run if it would be started otherwise, now or after its backoff."""
    waits = maker is not None and state.ready(step) and step.verdict.state in ("new", "waiting", "retry")
    return replace(step, waits_for_run=maker) if waits else step


def _beginnings(run: SelfAlignRun, observed: Observed) -> dict[str, Beginning]:
    processes = {PREFLIGHT: run.status.preflight} | run.status.steps
    ids = {*processes, *observed.attempts}
    newest = {id_: next(reversed(observed.attempts_of(id_)), None) for id_ in ids}
    return {id_: waiting.beginning(newest[id_], processes.get(id_)) for id_ in ids}


def preflight_key(run: SelfAlignRun, steps: tuple[Step, ...], *, pack: str | None = None) -> str:
    """Computes the digest of everything that preflight's result depends on.

    Args:
        run: the run, whose sources, store, suites and seed preflight reads.
        steps: the run's steps with their resolved parameters.
        pack: digest of a ConfigMap pack. Its content changes under the same name, and preflight must then be repeated.
    """
    spec = run.spec
    checked = {
        "baseModel": spec.base_model.to_dict(),
        "principles": spec.principles.to_dict(),
        "artifacts": spec.artifacts.to_dict() if spec.artifacts else None,
        "suites": [suite.to_dict() for suite in graph.suites(run)],
        "steps": [[step.id, step.resolved()] for step in steps],
        "seed": spec.seed,
    } | ({"pack": pack} if pack else {})
    if rows := graph.extra_rows(run):
        checked["extraRows"] = {leaf: file.to_dict() for leaf, file in rows.items()}
    if sources := graph.prompt_sources(run):
        checked["promptSources"] = [source.to_dict() for source in sources.values()]
    return sha256_hex(canonical_json(checked))


def _preflight_result(
    run: SelfAlignRun, key: str, preflight: Verdict, operator_problems: tuple[Problem, ...], *, retried: bool
) -> PreflightResult | None:
    """Prefers the observed result to the recorded one, and puts the operator's own problems before preflight's."""
    published = preflight.last.result if preflight.state == "done" and preflight.last is not None else None
    result = (
        published if isinstance(published, PreflightResult) else recorded.preflight_result(run, key, retried=retried)
    )
    if not operator_problems:
        return result
    leaves, problems = (result.leaves, result.problems) if result is not None else ({}, ())
    # The recorded problems include the operator's of the previous reconciliation: each is listed once.
    others = tuple(problem for problem in problems if problem not in operator_problems)
    return PreflightResult(leaves=leaves, problems=(*operator_problems, *others))


def _answered_before(preflight: Verdict, result: PreflightResult | None) -> Verdict:
    """The verdict on a preflight that ended well and whose pod is gone: the status still has its answer."""
    last = preflight.last
    if last is None or last.exit_code != ExitCode.PUBLISHED or last.result is not None or not _accepted(result):
        return preflight
    return replace(preflight, state="done", wait_until=None, failure=None, retry_cause=None)


def _hangs(observed: Observed) -> dict[str, Failure]:
    newest_last = ((id_, attempt) for id_ in sorted(observed.attempts) for attempt in observed.attempts_of(id_))
    return {id_: attempt.hang for id_, attempt in newest_last if attempt.hang is not None}


def _accepted(preflight_result: PreflightResult | None) -> bool:
    return preflight_result is not None and not preflight_result.problems


def _step_keys(run: SelfAlignRun, steps: Sequence[Step], preflight_result: PreflightResult | None) -> dict[str, str]:
    """Keys by step id; empty until preflight has accepted the run, because leaf digests are unknown before."""
    if preflight_result is None or not _accepted(preflight_result):
        return {}
    return keys(steps, leaves=preflight_result.leaves, seed=run.spec.seed)


def _attempts_for_key(
    run: SelfAlignRun, observed: Observed, id_: str, key: str | None, is_current: Callable[[Attempt], bool]
) -> tuple[Attempt, ...]:
    """Attempts that count for a key. Those that failed, or refused the run, before an edit or a retry do not.

    While a step's key is unknown, because preflight is repeated, the attempt that runs counts.
    """
    generation = run.metadata.generation
    return tuple(
        attempt if attempt.generation in (None, generation) else _without_shortage(attempt)
        for attempt in observed.attempts_of(id_)
        if (attempt.key == key or (key is None and attempt.running))
        and (attempt.running or _outlives_edits(attempt) or is_current(attempt))
    )


def _is_current(run: SelfAlignRun, request: Request, attempt: Attempt) -> bool:
    """Whether an attempt was started for the present generation and retry."""
    return attempt.generation in (None, run.metadata.generation) and retry.counts(request, attempt)


def _without_shortage(attempt: Attempt) -> Attempt:
    """An attempt of an earlier generation without its lack of memory: the edit is to be tried."""
    return replace(attempt, failure=None) if attempt.running and is_out_of_memory(attempt) else attempt


def _outlives_edits(attempt: Attempt) -> bool:
    """Whether the result is valid in later generations too: an artifact is, a refusal by preflight is not."""
    result = attempt.result
    return result is not None and not (isinstance(result, PreflightResult) and result.problems)


def _recorded_preemptions(run: SelfAlignRun, request: Request, id_: str, key: str | None) -> Preemptions | None:
    """Preemptions counted so far. An edit or a retry resets them, as it forgives every failure."""
    step = run.status.steps.get(id_)
    if step is None or step.key != key or run.status.observed_generation != run.metadata.generation:
        return None
    if request.is_new:
        return None
    return step.preempted


def _verdicts(
    run: SelfAlignRun,
    attempts: Mapping[str, Sequence[Attempt]],
    lost: Mapping[str, Loss],
    preempted: Mapping[str, Preemptions | None],
    failed: Mapping[str, FailedAttempts | None],
    now: datetime,
    is_current: Callable[[Attempt], bool],
) -> dict[str, Verdict]:
    stops = {id_: count.total if count is not None else 0 for id_, count in preempted.items()}
    verdicts = {}
    for id_, tried in attempts.items():
        counting = losses.unrefuted(tried, lost.get(id_))
        verdict = judge(counting, retries=run.spec.retries, now=now, stops=stops[id_], failed=failed[id_])
        verdicts[id_] = _lost_too_often(run, tried, lost.get(id_), is_current) or verdict
    return verdicts


def _lost_too_often(
    run: SelfAlignRun, tried: Sequence[Attempt], loss: Loss | None, is_current: Callable[[Attempt], bool]
) -> Verdict | None:
    """Fails a step whose artifact different readers lost again and again.

    One reader alone exhausts its own retries first. Many readers, each with its own, could otherwise repeat the step
    more often than anybody wants to pay for.
    """
    times = losses.times_lost(tried, loss, is_current=is_current)
    limit = run.spec.retries.per_stage + 1
    if loss is None or times <= limit:
        return None
    text = f"its artifact was lost {times} times after it had been published, the last time: {loss.failure.message}"
    return Verdict("failed", tried[-1], failure=Failure(reason=INPUT_LOST, message=text))


def _needed_steps(steps: Sequence[Step], results: Mapping[str, Result | None], goals: Sequence[str]) -> set[str]:
    """Ids of the steps that unfinished goals depend on, computed backwards: what precedes a hit is not needed."""
    needed = {goal for goal in goals if results[goal] is None}
    for step in reversed(steps):
        if step.id in needed:
            needed |= {id_ for id_ in (*step.inputs.values(), *step.after) if results[id_] is None}
    return needed


def _usage(run: SelfAlignRun, observed: Observed, now: datetime) -> tuple[dict[str, float], Usage | None]:
    """Device seconds since the recorded usage by process id, and the run's total including them."""
    before = run.status.usage
    until = usage.end_of_interval(observed, now)
    since = before.counted_until if before is not None else None
    device_seconds = usage.device_seconds(observed, since=since, until=until)
    return device_seconds, usage.accumulate(before, device_seconds, until=until)


def _recorded_gpu_seconds(step: StepStatus | None) -> float:
    return step.gpu_seconds or 0 if step is not None else 0
