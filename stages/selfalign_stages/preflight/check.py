"""Runs preflight: checks store, base model, pack, suites, registry and machine, and finds the finished steps.

Preflight is the first pod of a run and needs no GPU. It also fixes the inputs: the digests of the leaves, from which
the keys of all steps follow, are computed here once, and a step later refuses a leaf that differs.
"""

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
from selfalign_stages.contract.graph import BASE_MODEL, PACK, Step
from selfalign_stages.contract.manifest import ArtifactRef
from selfalign_stages.contract.task import PreflightResult, PreflightTask, Result
from selfalign_stages.contract.termination_message import result_of
from selfalign_stages.pack import parts
from selfalign_stages.pack.loading import load
from selfalign_stages.preflight import machine, pack_and_suites, registry
from selfalign_stages.preflight.findings import Findings
from selfalign_stages.step.store import Store

# A lookup is one request to the store, which takes tens of milliseconds in S3; a run has 15 to 25 steps.
LOOKUP_THREADS = 8


def check(task: PreflightTask) -> PreflightResult:
    """Runs the preflight of a run.

    Returns:
        Leaf digests, results of finished steps, problems and warnings. Leaves that cannot be read have no digest, and
        unless all leaves have one, no step counts as finished, since keys depend on all of them.

    Raises:
        Unavailable: store, hub or registry is down, and nothing else is wrong; the operator retries.
    """
    findings = Findings()
    # Independent checks, so that one that fails hides none of the others.
    store = findings.attempt("spec.artifacts.uri", task.store.uri, partial(_open_store, task))
    base = findings.attempt("spec.baseModel.uri", task.leaves[BASE_MODEL].uri, partial(_inspect_base, task, findings))
    pack = findings.attempt("spec.principles", task.leaves[PACK].uri, partial(load, task.leaves[PACK].uri))
    leaves = {BASE_MODEL: base.digest} if base else {}
    if pack:
        pack_and_suites.lint_pack(pack, base, task, findings)
        leaves |= parts.digests(pack) | pack_and_suites.suite_digests(task, pack, findings)
    # The keys of a run exist only with all its leaf digests, so one unreadable leaf makes every lookup impossible.
    finished = _finished_steps(store, task, leaves) if store and leaves.keys() == task.leaves.keys() else {}
    remaining = [step for step in task.steps if step.id not in finished]
    # Registry and machine matter only to steps that will run: a rerun of a finished run needs neither.
    registry.check(remaining, findings)
    if remaining and base:
        machine.check(task.store, remaining, model_bytes=base.size_bytes, findings=findings)
    findings.raise_unavailable()
    return PreflightResult(
        leaves=leaves, hits=finished, problems=tuple(findings.problems), warnings=tuple(findings.warnings)
    )


def _open_store(task: PreflightTask) -> Store:
    """Opens the artifact store and tries every kind of write in it."""
    try:
        store = open_store(task.store)
        store.probe()
    except OSError as error:  # no folder, read-only or full; errors of S3 are StageErrors already
        raise BadInput(f"cannot be written to: {error.strerror}: {error.filename}", reason="StoreUnusable") from error
    return store


def _inspect_base(task: PreflightTask, findings: Findings) -> Inspection | None:
    """Inspects the base model; returns None, with its problems added, if it is unfit."""
    leaf = task.leaves[BASE_MODEL]
    base = inspection.inspect(open_source.open_source(leaf, store=task.store), leaf)
    for message in base.fitness.problems:
        findings.problem("spec.baseModel.uri", leaf.uri, message)
    findings.warnings += [f"spec.baseModel.uri: {warning}" for warning in base.fitness.warnings]
    return None if base.fitness.problems else base


def _finished_steps(store: Store, task: PreflightTask, leaves: Mapping[str, str]) -> dict[str, Result]:
    """Returns results by step id of the steps whose artifacts are in the store and still valid."""
    keys = graph.keys(task.steps, leaves=leaves, seed=task.seed)

    def look_up(step: Step) -> Result | None:
        # An artifact exists exactly if its manifest does (artifacts.writing); its other files need no request.
        manifest = read_manifest(store, ArtifactRef(kind=step.kind, key=keys[step.id]))
        return result_of(manifest, cache="Hit") if manifest and steps.still_valid(store, manifest) else None

    with ThreadPoolExecutor(LOOKUP_THREADS) as pool:
        results = pool.map(look_up, task.steps)
        return {step.id: result for step, result in zip(task.steps, results, strict=True) if result}
