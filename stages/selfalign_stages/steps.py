"""Which module carries out which step kind; imported only when its step runs, since some are heavy."""

from collections.abc import Callable
from importlib import import_module
from typing import cast

from selfalign_stages.contract.graph import Kind
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.step.context import StepContext
from selfalign_stages.step.store import Store

MODULES: dict[Kind, str] = {
    "import": "base.importing",
    "topics": "redteaming.topics",
    "questions": "redteaming.questions",
    "instructions": "redteaming.instructions",
    "prompts": "redteaming.prompts",
    "answers": "answering.self_align",
    "verbose-answers": "answering.verbose",
    "train": "tuning.train",
    "merge": "tuning.merge",
    "score": "evaluation.score",
    "gate": "evaluation.gate",
    "image": "packaging.image",
    "push": "packaging.push",
}


def load(kind: Kind) -> Callable[[StepContext], Manifest]:
    """The `run` of the step's module."""
    return cast(Callable[[StepContext], Manifest], import_module(f"selfalign_stages.{MODULES[kind]}").run)


def still_valid(store: Store, manifest: Manifest) -> bool:
    """Whether what a published step did outside the store is still there: a registry may have lost an image."""
    if manifest.kind != "push":
        return True
    return cast(bool, import_module(f"selfalign_stages.{MODULES['push']}").stands(store, manifest))
