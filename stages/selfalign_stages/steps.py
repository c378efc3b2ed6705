"""Which module computes which step kind, and when that is not necessary.

Modules are named by strings and imported when their step runs: some import torch or vLLM, which takes seconds and much
memory, and a CPU step must run where neither is installed.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import cast

from selfalign_stages.artifacts import hits
from selfalign_stages.artifacts.hits import Examined
from selfalign_stages.contract.graph import BASE_MODEL, Kind
from selfalign_stages.contract.manifest import ArtifactRef, Manifest
from selfalign_stages.step.context import StepContext
from selfalign_stages.step.store import Store

MODULES: dict[Kind, str] = {
    "import": "base_model.importing",
    "topics": "redteaming.topics",
    "questions": "redteaming.questions",
    "instructions": "redteaming.instructions",
    "prompts": "redteaming.prompts",
    "answers": "answering.self_align",
    "check": "evaluation.check",
    "verbose-answers": "answering.verbose",
    "train": "tuning.train",
    "merge": "tuning.merge",
    "score": "evaluation.score",
    "gate": "evaluation.gate",
    "image": "packaging.image",
    "push": "packaging.push",
}


def load(kind: Kind) -> Callable[[StepContext], Manifest]:
    """Imports the module of a step kind and returns its `run` function."""
    return cast(Callable[[StepContext], Manifest], _module(kind).run)


def examine(store: Store, ref: ArtifactRef, *, leaves: Mapping[str, str]) -> Examined:
    """Examines whether a step's artifact may count as a cache hit.

    Args:
        store: the artifact store.
        ref: the artifact.
        leaves: digests of the run's leaves, at least of those that the step reads.

    Returns:
        As `hits.examine`, with the checks of two kinds that it cannot know: an imported model must be the one that its
        key names, whoever put it there, and the registry must still have what a push sent.
    """
    examined = hits.examine(store, ref)
    manifest = examined.manifest
    if manifest is None:
        return examined
    base = leaves.get(BASE_MODEL)
    if ref.kind == "import" and base and not _module("import").matches(store, manifest, base):
        return hits.rejected(store, manifest, f"{ref.prefix}: its files are not those of the base model {base}")
    # The artifact stays: it is the registry that lost something, and the step sends only that.
    if ref.kind == "push" and not _module("push").still_valid(store, manifest):
        return Examined(problem=f"{ref.prefix}: the registry no longer has the image that was pushed")
    return examined


def _module(kind: Kind) -> ModuleType:
    return import_module(f"selfalign_stages.{MODULES[kind]}")
