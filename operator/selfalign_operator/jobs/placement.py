"""Where a step's pods go and what they ask for, from the run's stages. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfalign_operator.api.placement import Placement, Resources
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.training import Training
from selfalign_stages.contract.graph import KINDS, Kind, Step

SHARDED: frozenset[Kind] = frozenset({"questions", "instructions", "answers", "verbose-answers"})
"""Kinds whose chunks any number of workers share."""
IMAGES: dict[Kind, str] = {
    "import": "cpu",
    "prompts": "cpu",
    "gate": "cpu",
    "image": "cpu",
    "push": "cpu",
    "train": "train",
    "merge": "train",
}
"""The container image of a kind; all others generate."""


@dataclass(frozen=True)
class Placed:
    """What one step's pods ask for. `workers` share chunks; `nodes` train together, `processes` in each of them."""

    image: str
    resources: dict[str, dict[str, str]]
    template: dict[str, Any]
    workers: int = 1
    nodes: int = 1
    processes: int = 1


def place(run: SelfAlignRun, step: Step) -> Placed:
    """The step's placement. A step of kind cpu has its stage's cpu and memory, never its devices."""
    wanted = _stage(run, step)
    resources = wanted.resources or Resources()
    asked = {"requests": _sizes(resources.requests), "limits": _sizes(resources.limits)}
    if KINDS[step.kind].needs == "cpu":
        asked = {part: {name: size for name, size in sizes.items() if "/" not in name} for part, sizes in asked.items()}
    training = wanted if step.kind == "train" and isinstance(wanted, Training) else None
    return Placed(
        image=IMAGES.get(step.kind, "generate"),
        resources={part: sizes for part, sizes in asked.items() if sizes},
        template=wanted.template or {},
        workers=wanted.workers if step.kind in SHARDED else 1,
        nodes=training.nodes if training else 1,
        processes=training.gpus_per_node if training else 1,
    )


def _sizes(given: Mapping[str, object]) -> dict[str, str]:
    return {name: str(size) for name, size in given.items()}


def devices(placed: Placed) -> int:
    """Devices that all pods of the step hold together."""
    return gpus(placed.resources.get("limits", {})) * placed.workers * placed.nodes


def gpus(limits: Mapping[str, object]) -> int:
    """Devices of one pod: extended resources, such as nvidia.com/gpu."""
    return sum(int(str(size)) for name, size in limits.items() if "/" in name)


def _stage(run: SelfAlignRun, step: Step) -> Placement:
    stages = run.spec.stages
    if step.stage == "cloning":
        return stages.cloning.generation if step.kind == "verbose-answers" else stages.cloning.training
    found: dict[str, Placement] = {
        "import": Placement(),
        "redTeaming": stages.red_teaming,
        "selfAlign": stages.self_align,
        "engraving": stages.engraving,
        "evaluation": stages.evaluation,
        "packaging": stages.packaging,
    }
    return found[step.stage]
