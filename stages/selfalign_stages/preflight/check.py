"""Runs preflight: checks store, base model, pack, suites, registry and machine, and finds the finished steps.

Preflight is the first pod of a run and needs no GPU. It also fixes the inputs: the digests of the leaves, from which
the keys of all steps follow, are computed here once, and a step later refuses a leaf that differs.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from selfalign_stages import steps
from selfalign_stages.artifacts.hits import Examined
from selfalign_stages.artifacts.open_store import open_store
from selfalign_stages.base_model import inspection, layers, open_source
from selfalign_stages.base_model.inspection import Inspection
from selfalign_stages.base_model.sources import Source
from selfalign_stages.contract import graph
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.graph import BASE_MODEL, PACK, Step
from selfalign_stages.contract.manifest import ArtifactRef
from selfalign_stages.contract.parameters import TrainParameters
from selfalign_stages.contract.task import PreflightResult, PreflightTask, Result
from selfalign_stages.contract.termination_message import result_of
from selfalign_stages.pack import parts
from selfalign_stages.pack.loading import load
from selfalign_stages.preflight import (
    machine,
    own_rows,
    pack_and_suites,
    registry,
    trained_thoughts,
)
from selfalign_stages.preflight.findings import Findings
from selfalign_stages.step.store import Store

# A lookup is one request to the store, which takes tens of milliseconds in S3; a run has 15 to 25 steps.
LOOKUP_THREADS = 8
TARGETS = {"engraving": "spec.stages.engraving.targets", "cloning": "spec.stages.cloning.training.targets"}
"""Field of the LoRA targets by stage."""
STORE = "spec.artifacts.uri"
"""Field of the problems of the artifact store."""
Value = TypeVar("Value")


def check(task: PreflightTask, *, scratch: Path | None = None) -> PreflightResult:
    """Runs the preflight of a run.

    Args:
        task: the run.
        scratch: folder for temporary files of the steps if they run on this machine, see `machine.check`.

    Returns:
        Leaf digests, results of finished steps, problems and warnings. Leaves that cannot be read have no digest, and
        unless all leaves have one, no step counts as finished, since keys depend on all of them.

    Raises:
        Unavailable: store, hub or registry is down, and nothing else is wrong; the operator retries.
    """
    findings = Findings()
    # Independent checks, so that one that fails hides none of the others.
    store = findings.attempt(STORE, task.store.uri, partial(_usable_as_folder, task, lambda: open_store(task.store)))
    leaves, base = resolve_leaves(task, findings, scratch=scratch)
    finished: dict[str, Result] | None = {}
    # The keys of a run exist only with all its leaf digests, so one unreadable leaf makes every lookup impossible.
    if store and leaves.keys() == task.leaves.keys():
        look_up = partial(_finished_steps, store, task, leaves, findings)
        finished = findings.attempt(STORE, task.store.uri, partial(_usable_as_folder, task, look_up))
    remaining = [step for step in task.steps if step.id not in (finished or {})]
    # Only steps that will run write: a store may be read-only for a run that is finished. A store that could not be
    # read has been reported, and a second message about it would say the same.
    if store and remaining and finished is not None:
        findings.attempt(STORE, task.store.uri, partial(_usable_as_folder, task, store.probe))
    # Registry and machine matter only to steps that will run: a rerun of a finished run needs neither.
    registry.check(remaining, findings)
    if remaining and base:
        size = base.size_bytes
        machine.check(task.store, remaining, model_bytes=size, engine=task.engine, findings=findings, scratch=scratch)
    findings.raise_unavailable()
    return PreflightResult(
        leaves=leaves, hits=finished or {}, problems=tuple(findings.problems), warnings=tuple(findings.warnings)
    )


def resolve_leaves(
    task: PreflightTask, findings: Findings, *, scratch: Path | None = None
) -> tuple[dict[str, str], Inspection | None]:
    """Reads and checks base model, pack, suites, and prompts and training rows of one's own.

    Args:
        task: the run.
        findings: receives their problems and warnings.
        scratch: folder for downloads; None: the system's for temporary files.

    Returns:
        Digests of the leaves that can be read, and the base model if it is fit.
    """
    base = findings.attempt("spec.baseModel.uri", task.leaves[BASE_MODEL].uri, partial(_inspect_base, task, findings))
    pack = findings.attempt("spec.principles", task.leaves[PACK].uri, partial(load, task.leaves[PACK].uri))
    leaves = {BASE_MODEL: base.digest} if base else {}
    if pack:
        pack_and_suites.lint_pack(pack, base, task, findings)
        trained_thoughts.check(pack, base, task, findings)
        leaves |= parts.digests(pack) | pack_and_suites.suite_digests(task, pack, findings)
    leaves |= own_rows.prompt_source_digests(task, findings, scratch=scratch)
    leaves |= own_rows.extra_rows_digests(task, findings, scratch=scratch)
    return leaves, base


def _usable_as_folder(task: PreflightTask, use: Callable[[], Value]) -> Value:
    """Uses the store; an OSError of its folder becomes a problem with the folder's path."""
    try:
        return use()
    except OSError as error:  # no folder, read-only or full; errors of S3 are StageErrors already
        place = error.filename or task.store.uri
        raise BadInput(f"cannot be used: {error.strerror}: {place}", reason="StoreUnusable") from error


def _inspect_base(task: PreflightTask, findings: Findings) -> Inspection | None:
    """Inspects the base model; returns None, with its problems added, if it is unfit."""
    leaf = task.leaves[BASE_MODEL]
    source = open_source.open_source(leaf, store=task.store)
    base = inspection.inspect(source, leaf)
    if not base.fitness.problems:
        _require_targets(source, base, task, findings)
    for message in base.fitness.problems:
        findings.problem("spec.baseModel.uri", leaf.uri, message)
    findings.warnings += [f"spec.baseModel.uri: {warning}" for warning in base.fitness.warnings]
    return None if base.fitness.problems else base


def _require_targets(source: Source, base: Inspection, task: PreflightTask, findings: Findings) -> None:
    """Refuses LoRA targets that the model lacks, which training would find after all rows have been generated."""
    for step in task.steps:
        targets = TrainParameters.model_validate(step.resolved()).targets if step.kind == "train" else None
        if not targets:
            continue
        try:
            modules = layers.matrices(layers.tensor_names(source, base.small_files))
        except (ValueError, KeyError):
            return  # malformed weights have messages of their own, in the import
        if missing := layers.missing(targets, modules):
            message = f"the base model has no layer of that name; it has {', '.join(layers.kinds(modules))}"
            findings.problem(
                TARGETS[step.stage], ", ".join(missing), f"{message}. Unset, targets are all linear layers"
            )


def _finished_steps(
    store: Store, task: PreflightTask, leaves: Mapping[str, str], findings: Findings
) -> dict[str, Result]:
    """Returns results by step id of the steps whose artifacts are whole; a warning for each that is damaged."""
    keys = graph.keys(task.steps, leaves=leaves, seed=task.seed)

    def look_up(step: Step) -> Examined:
        return steps.examine(store, ArtifactRef(kind=step.kind, key=keys[step.id]), leaves=leaves)

    with ThreadPoolExecutor(LOOKUP_THREADS) as pool:
        examined = dict(zip((step.id for step in task.steps), pool.map(look_up, task.steps), strict=True))
    # Preflight writes nothing for them: the step sets aside what it makes anew.
    findings.warnings += [f"{id_}: runs again: {one.problem}" for id_, one in examined.items() if one.problem]
    return {id_: result_of(one.manifest, cache="Hit") for id_, one in examined.items() if one.manifest is not None}
