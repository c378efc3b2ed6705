"""Turns the plan's actions into task files. Pure."""

from dataclasses import dataclass

from selfalign_operator import graph
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.plan import StartStep
from selfalign_stages.contract.task import Leaf, PreflightTask, StoreLocation, Task


@dataclass(frozen=True)
class Places:
    """Where the store and the leaves are, as stage processes address them."""

    store: StoreLocation
    leaves: dict[str, Leaf]


def preflight(run: SelfAlignRun, places: Places) -> PreflightTask:
    """What preflight is asked."""
    return PreflightTask(
        store=places.store,
        seed=run.spec.seed,
        leaves=places.leaves,
        steps=graph.steps(run),
        assistant_name=run.spec.assistant_name,
        max_tokens=graph.longest_completion(run),
    )


def step(run: SelfAlignRun, action: StartStep, places: Places) -> Task:
    """What a step's process is told."""
    return Task(
        id=action.step.id,
        kind=action.step.kind,
        key=action.key,
        seed=run.spec.seed,
        store=places.store,
        parameters=action.step.resolved(),
        inputs=action.inputs,
        leaves={
            name: places.leaves[name].model_copy(update={"digest": digest}) for name, digest in action.leaves.items()
        },
    )
