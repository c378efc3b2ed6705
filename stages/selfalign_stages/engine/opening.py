"""Fetches a model artifact and loads it into the engine: the one place where stages get an engine from."""

from selfalign_stages.artifacts import reading
from selfalign_stages.context import StepContext
from selfalign_stages.engine.interface import Engine


def open_engine(context: StepContext, *, model: str) -> Engine:
    """The engine over the model that the task's input `model` names."""
    with context.stop.at_once():
        from selfalign_stages.engine.vllm_engine import VllmEngine

        manifest = reading.require_manifest(context.store, context.task.inputs[model])
        folder = reading.download(context.store, manifest, context.scratch / model)
        return VllmEngine(folder, seed=context.task.seed)
