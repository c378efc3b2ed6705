"""Turns the plan's actions into the task files of stage processes. Pure.

The same task goes into a file on one machine and into an environment variable of a Job on a cluster, so both run a step
with equal parameters; they differ in the store and leaf addresses alone.
"""

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.planning import graph, retry, step_parameters
from selfalign_operator.planning.plan import StartStep
from selfalign_operator.planning.store_location import Locations
from selfalign_stages.contract.task import PreflightTask, Task


def preflight(run: SelfAlignRun, locations: Locations) -> PreflightTask:
    """Builds the task of preflight: every leaf to resolve, and every step to search the store for."""
    return PreflightTask(
        store=locations.store,
        seed=run.spec.seed,
        leaves=locations.leaves,
        steps=graph.steps(run),
        assistant_name=run.spec.assistant_name,
        max_tokens=graph.longest_completion(run),
        engine=step_parameters.engine_parameters(run.spec.engine),
    )


def step(run: SelfAlignRun, action: StartStep, locations: Locations) -> Task:
    """Builds the task of one attempt at a step.

    Args:
        run: the run, for its seed.
        action: the planned start, with the key, the input artifacts and the leaf digests.
        locations: the store and the leaves, as the process will address them.
    """
    return Task(
        id=action.step.id,
        kind=action.step.kind,
        key=action.key,
        seed=retry.seed(action.step, run.spec.seed),
        store=locations.store,
        parameters=action.step.resolved(),
        inputs=action.inputs,
        leaves={
            name: locations.leaves[name].model_copy(update={"digest": digest}) for name, digest in action.leaves.items()
        },
        engine=step_parameters.engine_arguments(run.spec.engine),
    )
