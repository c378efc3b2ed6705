"""Where a step's pods go and what they ask for, from the run's stages. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfalign_operator.api.resources import Placement, Resources, is_device
from selfalign_operator.api.run import SelfAlignRun
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
class ResolvedPlacement:
    """What one step's pods ask for; without `devices` they get none, even if the run's podDefaults ask for some."""

    image: str
    resources: dict[str, dict[str, str]]
    template: dict[str, Any]
    workers: int = 1
    devices: bool = True


def resolve_placement(run: SelfAlignRun, step: Step) -> ResolvedPlacement:
    """The step's placement. A step of kind cpu has its stage's cpu and memory, never its devices."""
    wanted = _stage(run, step)
    resources = wanted.resources or Resources()
    asked = {"requests": _sizes(resources.requests), "limits": _sizes(resources.limits)}
    return ResolvedPlacement(
        image=IMAGES.get(step.kind, "generate"),
        resources={part: sizes for part, sizes in asked.items() if sizes},
        template=wanted.template or {},
        workers=wanted.workers if step.kind in SHARDED else 1,
        devices=KINDS[step.kind].needs == "gpu",
    )


def _sizes(given: Mapping[str, object]) -> dict[str, str]:
    return {name: str(size) for name, size in given.items()}


def without_devices(pod: Mapping[str, Any]) -> dict[str, Any]:
    """A pod template whose containers ask for no device, whatever an overlay for all pods of the run says.

    What is malformed is left to the API server, which says so.
    """
    spec = pod.get("spec")
    if not isinstance(spec, Mapping) or not isinstance(containers := spec.get("containers"), list):
        return dict(pod)
    return {**pod, "spec": {**spec, "containers": [_bare(container) for container in containers]}}


def _bare(container: Any) -> Any:
    asked = container.get("resources") if isinstance(container, Mapping) else None
    if not isinstance(asked, Mapping):
        return container
    sizes = {part: of for part in ("requests", "limits") if isinstance(of := asked.get(part), Mapping)}
    kept = {part: {name: size for name, size in of.items() if not is_device(name)} for part, of in sizes.items()}
    return {**container, "resources": {**asked, **kept}}


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
