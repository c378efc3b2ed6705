"""Looks at store, base model, pack and suites, tells all problems at once, and which steps are done already."""

from collections.abc import Callable
from typing import TypeVar

from selfalign_stages import hits
from selfalign_stages.artifacts.opening import open_store
from selfalign_stages.artifacts.reading import read_manifest
from selfalign_stages.artifacts.store import Store
from selfalign_stages.base import sources
from selfalign_stages.base.importing import inspect
from selfalign_stages.contract import graph
from selfalign_stages.contract.exits import StageError
from selfalign_stages.contract.manifest import ArtifactRef
from selfalign_stages.contract.task import Leaf, PreflightResult, PreflightTask, Problem, Result
from selfalign_stages.evaluation import suites
from selfalign_stages.pack.loading import load
from selfalign_stages.pack.model import Pack
from selfalign_stages.preflight import budget, machine

Value = TypeVar("Value")


class _Findings:
    """Problems and warnings so far."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[str] = []

    def attempt(self, field: str, value: str, look: Callable[[], Value]) -> Value | None:
        """What `look` returns; a StageError becomes a problem of the field. Others are passed on, they are crashes."""
        try:
            return look()
        except StageError as error:
            self.problems.append(Problem(field=field, value=value, message=str(error)))
            return None


def check(task: PreflightTask) -> PreflightResult:
    """The preflight of a run."""
    found = _Findings()
    store = found.attempt("spec.artifacts.uri", task.store.uri, lambda: _probed(task))
    pack = found.attempt("spec.principles", task.leaves["pack"].uri, lambda: load(task.leaves["pack"].uri))
    leaves: dict[str, str] = {}
    base = task.leaves["baseModel"]
    if digest := found.attempt("spec.baseModel.uri", base.uri, lambda: _base(base, pack, task, found)):
        leaves["baseModel"] = digest
    if pack:
        leaves["pack"] = pack.digest
        for name, leaf in task.leaves.items():
            if name.startswith(suites.LEAF):
                digest = found.attempt("spec.stages.evaluation.suites", leaf.uri, partial(_suite, leaf.uri, pack))
                leaves |= {name: digest} if digest else {}
    found.problems += machine.problems()
    done = _found(store, task, leaves) if store and not found.problems else {}
    return PreflightResult(leaves=leaves, found=done, problems=tuple(found.problems), warnings=tuple(found.warnings))


def _probed(task: PreflightTask) -> Store:
    store = open_store(task.store)
    store.probe()
    return store


def _base(leaf: Leaf, pack: Pack | None, task: PreflightTask, found: _Findings) -> str:
    source = sources.open_source(leaf)
    verdict, digest, small = inspect(source, leaf)
    found.problems += [Problem(field="spec.baseModel.uri", value=leaf.uri, message=text) for text in verdict.problems]
    found.warnings += verdict.warnings
    if pack and not verdict.problems:
        problems, warnings = budget.lint_pack(pack, source, verdict, small, task)
        found.problems += problems
        found.warnings += warnings
    return digest


def _suite(uri: str, pack: Pack) -> str:
    suites.questions({f"{suites.LEAF}it": Leaf(uri=uri)}, pack)
    return suites.digest(uri, pack)


def _found(store: Store, task: PreflightTask, leaves: dict[str, str]) -> dict[str, Result]:
    keys = graph.keys(task.steps, leaves=leaves, seed=task.seed)
    manifests = {step.id: read_manifest(store, ArtifactRef(kind=step.kind, key=keys[step.id])) for step in task.steps}
    return {name: hits.result(manifest, cache="Hit") for name, manifest in manifests.items() if manifest}
