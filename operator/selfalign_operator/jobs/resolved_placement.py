"""Resolves which image, resources and template a step's pods get from the placement of its stage. Pure.

A stage mixes steps that need a GPU with steps that do not, and users state resources per stage. The devices of a stage
are therefore given to its GPU steps alone: a merge of rows that requested eight GPUs would wait for them and leave them
idle. CPU and memory are shared by all steps of the stage.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfalign_operator.api.devices import is_device
from selfalign_operator.api.resources import Placement, Resources, ShardedPlacement
from selfalign_operator.api.run import SelfAlignRun
from selfalign_stages.contract.graph import KINDS, Kind, Step

SHARDED: frozenset[Kind] = frozenset({"questions", "instructions", "answers", "verbose-answers"})
"""Kinds whose chunks are shared by any number of workers. All others run in one pod."""
IMAGES: dict[Kind, str] = {
    "import": "cpu",
    "prompts": "cpu",
    "check": "cpu",
    "gate": "cpu",
    "image": "cpu",
    "push": "cpu",
    "train": "train",
    "merge": "train",
}
"""Name of a kind's container image; kinds that are not listed use "generate", the image with vLLM."""


@dataclass(frozen=True)
class ResolvedPlacement:
    """What the pods of one step request.

    Attributes:
        image: name of the container image: "cpu", "generate" or "train".
        resources: the container's resources, with quantities as strings.
        template: partial pod template of the stage.
        workers: number of pods that share the step's chunks.
        devices: whether the pods may have devices. If not, devices in any template are removed.
    """

    image: str
    resources: dict[str, dict[str, str]]
    template: dict[str, Any]
    workers: int = 1
    devices: bool = True


def resolve_placement(run: SelfAlignRun, step: Step) -> ResolvedPlacement:
    """Returns the placement of a step, from its stage's settings and its kind."""
    placement = _stage_placement(run, step)
    resources = placement.resources or Resources()
    quantities = {"requests": _as_strings(resources.requests), "limits": _as_strings(resources.limits)}
    return ResolvedPlacement(
        image=IMAGES.get(step.kind, "generate"),
        resources={part: sizes for part, sizes in quantities.items() if sizes},
        template=placement.template or {},
        workers=placement.workers if step.kind in SHARDED and isinstance(placement, ShardedPlacement) else 1,
        devices=KINDS[step.kind].needs == "gpu",
    )


def without_devices(template: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a pod template whose containers request no device.

    Needed although `resolve_placement` knows the kind: spec.podDefaults.template may request devices for all pods of
    the run. A malformed template is returned unchanged, and the API server rejects it with the path of the field.
    """
    spec = template.get("spec")
    if not isinstance(spec, Mapping) or not isinstance(containers := spec.get("containers"), list):
        return dict(template)
    return {**template, "spec": {**spec, "containers": [_container_without_devices(one) for one in containers]}}


def _as_strings(quantities: Mapping[str, object]) -> dict[str, str]:
    return {name: str(quantity) for name, quantity in quantities.items()}


def _container_without_devices(container: Any) -> Any:
    resources = container.get("resources") if isinstance(container, Mapping) else None
    if not isinstance(resources, Mapping):
        return container
    parts = {part: of for part in ("requests", "limits") if isinstance(of := resources.get(part), Mapping)}
    kept = {
        part: {name: quantity for name, quantity in quantities.items() if not is_device(name)}
        for part, quantities in parts.items()
    }
    return {**container, "resources": {**resources, **kept}}


def _stage_placement(run: SelfAlignRun, step: Step) -> Placement:
    stages = run.spec.stages
    if step.stage == "cloning":
        return stages.cloning.generation if step.kind == "verbose-answers" else stages.cloning.training
    placements: dict[str, Placement] = {
        "import": Placement(),
        "redTeaming": stages.red_teaming,
        "selfAlign": stages.self_align,
        "engraving": stages.engraving,
        "evaluation": stages.evaluation,
        "packaging": stages.packaging,
    }
    return placements[step.stage]
