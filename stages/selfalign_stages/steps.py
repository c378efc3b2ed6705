"""Which module computes which step kind.

Modules are named by strings and imported when their step runs: some import torch or vLLM, which takes seconds and much
memory, and a CPU step must run where neither is installed.
"""

from collections.abc import Callable
from importlib import import_module
from typing import cast

from selfalign_stages.contract.graph import Kind
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.step.context import StepContext
from selfalign_stages.step.store import Store

MODULES: dict[Kind, str] = {
    "import": "base_model.importing",
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
    """Imports the module of a step kind and returns its `run` function."""
    return cast(Callable[[StepContext], Manifest], import_module(f"selfalign_stages.{MODULES[kind]}").run)


def still_valid(store: Store, manifest: Manifest) -> bool:
    """Whether a published artifact may count as a cache hit.

    Only step `push` has an effect outside the store: a registry may have deleted the image since. Such an artifact is
    no hit, and the step runs a second time although its manifest exists.
    """
    if manifest.kind != "push":
        return True
    return cast(bool, import_module(f"selfalign_stages.{MODULES['push']}").still_valid(store, manifest))
