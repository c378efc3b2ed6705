"""Looks at store, base model, pack, suites and machine, tells all problems at once, and which steps are done."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from selfalign_stages import hits, steps
from selfalign_stages.artifacts.opening import open_store
from selfalign_stages.artifacts.reading import read_manifest
from selfalign_stages.artifacts.store import Store
from selfalign_stages.base import inspection, opening
from selfalign_stages.base.inspection import Inspection
from selfalign_stages.contract import graph
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.graph import Step
from selfalign_stages.contract.manifest import ArtifactRef
from selfalign_stages.contract.task import PreflightResult, PreflightTask, Result
from selfalign_stages.pack import parts
from selfalign_stages.pack.loading import load
from selfalign_stages.preflight import budget, machine, registry, suite_files
from selfalign_stages.preflight.findings import Findings

LOOKUP_THREADS = 8


def check(task: PreflightTask) -> PreflightResult:
    """The preflight of a run; Unavailable if a service is down and nothing else is wrong."""
    found = Findings()
    store = found.attempt("spec.artifacts.uri", task.store.uri, partial(_probed, task))
    base = found.attempt("spec.baseModel.uri", task.leaves["baseModel"].uri, partial(_base, task, found))
    pack = found.attempt("spec.principles", task.leaves["pack"].uri, partial(load, task.leaves["pack"].uri))
    leaves = {"baseModel": base.digest} if base else {}
    if pack:
        budget.lint_pack(pack, base, task, found)
        leaves |= parts.digests(pack) | suite_files.digests(task, pack, found)
    done = _done(store, task, leaves) if store and leaves.keys() == task.leaves.keys() else {}
    left = [step for step in task.steps if step.id not in done]
    registry.look(left, found)
    if left and base:
        machine.look(task.store, left, model_bytes=base.bytes, found=found)
    found.raise_unavailable()
    return PreflightResult(leaves=leaves, found=done, problems=tuple(found.problems), warnings=tuple(found.warnings))


def _probed(task: PreflightTask) -> Store:
    try:
        store = open_store(task.store)
        store.probe()
    except OSError as error:  # a folder that is none, is read-only or full; S3's errors are mapped already
        raise BadInput(f"cannot be written to: {error.strerror}: {error.filename}", reason="StoreUnusable") from error
    return store


def _base(task: PreflightTask, found: Findings) -> Inspection | None:
    """The base model, if it is fit."""
    leaf = task.leaves["baseModel"]
    seen = inspection.inspect(opening.open_source(leaf, store=task.store), leaf)
    for message in seen.verdict.problems:
        found.problem("spec.baseModel.uri", leaf.uri, message)
    found.warnings += [f"spec.baseModel.uri: {warning}" for warning in seen.verdict.warnings]
    return None if seen.verdict.problems else seen


def _done(store: Store, task: PreflightTask, leaves: Mapping[str, str]) -> dict[str, Result]:
    """Results of the steps whose artifacts exist, by step id."""
    keys = graph.keys(task.steps, leaves=leaves, seed=task.seed)

    def look(step: Step) -> Result | None:
        manifest = read_manifest(store, ArtifactRef(kind=step.kind, key=keys[step.id]))
        return hits.result(manifest, cache="Hit") if manifest and steps.stands(store, manifest) else None

    with ThreadPoolExecutor(LOOKUP_THREADS) as pool:
        results = pool.map(look, task.steps)
        return {step.id: result for step, result in zip(task.steps, results, strict=True) if result}
