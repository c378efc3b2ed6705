"""Turns the plan's actions into task files. Pure."""

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.planning import graph
from selfalign_operator.planning.plan import StartStep
from selfalign_operator.planning.store_location import Locations
from selfalign_stages.contract.task import PreflightTask, Task


def preflight(run: SelfAlignRun, locations: Locations) -> PreflightTask:
    """What preflight is asked."""
    return PreflightTask(
        store=locations.store,
        seed=run.spec.seed,
        leaves=locations.leaves,
        steps=graph.steps(run),
        assistant_name=run.spec.assistant_name,
        max_tokens=graph.longest_completion(run),
    )


def step(run: SelfAlignRun, action: StartStep, locations: Locations) -> Task:
    """What a step's process is told."""
    return Task(
        id=action.step.id,
        kind=action.step.kind,
        key=action.key,
        seed=run.spec.seed,
        store=locations.store,
        parameters=action.step.resolved(),
        inputs=action.inputs,
        leaves={
            name: locations.leaves[name].model_copy(update={"digest": digest}) for name, digest in action.leaves.items()
        },
    )
