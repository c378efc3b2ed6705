"""Looks at store, base model, pack, suites and machine, tells all problems at once, and which steps are done."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from selfalign_stages import steps
from selfalign_stages.artifacts.open_store import open_store
from selfalign_stages.artifacts.reading import read_manifest
from selfalign_stages.base_model import inspection, open_source
from selfalign_stages.base_model.inspection import Inspection
from selfalign_stages.contract import graph
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.graph import BASE_MODEL, Step
from selfalign_stages.contract.manifest import ArtifactRef
from selfalign_stages.contract.task import PreflightResult, PreflightTask, Result
from selfalign_stages.contract.termination_message import result_of
from selfalign_stages.pack import parts
from selfalign_stages.pack.loading import load
from selfalign_stages.preflight import machine, pack_and_suites, registry
from selfalign_stages.preflight.findings import Findings
from selfalign_stages.step.store import Store

LOOKUP_THREADS = 8


def check(task: PreflightTask) -> PreflightResult:
    """The preflight of a run; Unavailable if a service is down and nothing else is wrong."""
    found = Findings()
    store = found.attempt("spec.artifacts.uri", task.store.uri, partial(_probed, task))
    base = found.attempt("spec.baseModel.uri", task.leaves[BASE_MODEL].uri, partial(_base, task, found))
    pack = found.attempt("spec.principles", task.leaves["pack"].uri, partial(load, task.leaves["pack"].uri))
    leaves = {BASE_MODEL: base.digest} if base else {}
    if pack:
        pack_and_suites.lint_pack(pack, base, task, found)
        leaves |= parts.digests(pack) | pack_and_suites.suite_digests(task, pack, found)
    done = _done(store, task, leaves) if store and leaves.keys() == task.leaves.keys() else {}
    left = [step for step in task.steps if step.id not in done]
    registry.check(left, found)
    if left and base:
        machine.check(task.store, left, model_bytes=base.bytes, found=found)
    found.raise_unavailable()
    return PreflightResult(leaves=leaves, hits=done, problems=tuple(found.problems), warnings=tuple(found.warnings))


def _probed(task: PreflightTask) -> Store:
    try:
        store = open_store(task.store)
        store.probe()
    except OSError as error:  # a folder that is none, is read-only or full; S3's errors are mapped already
        raise BadInput(f"cannot be written to: {error.strerror}: {error.filename}", reason="StoreUnusable") from error
    return store


def _base(task: PreflightTask, found: Findings) -> Inspection | None:
    """The base model, if it is fit."""
    leaf = task.leaves[BASE_MODEL]
    seen = inspection.inspect(open_source.open_source(leaf, store=task.store), leaf)
    for message in seen.verdict.problems:
        found.problem("spec.baseModel.uri", leaf.uri, message)
    found.warnings += [f"spec.baseModel.uri: {warning}" for warning in seen.verdict.warnings]
    return None if seen.verdict.problems else seen


def _done(store: Store, task: PreflightTask, leaves: Mapping[str, str]) -> dict[str, Result]:
    """Results of the steps whose artifacts exist, by step id."""
    keys = graph.keys(task.steps, leaves=leaves, seed=task.seed)

    def look(step: Step) -> Result | None:
        manifest = read_manifest(store, ArtifactRef(kind=step.kind, key=keys[step.id]))
        return result_of(manifest, cache="Hit") if manifest and steps.still_valid(store, manifest) else None

    with ThreadPoolExecutor(LOOKUP_THREADS) as pool:
        results = pool.map(look, task.steps)
        return {step.id: result for step, result in zip(task.steps, results, strict=True) if result}
