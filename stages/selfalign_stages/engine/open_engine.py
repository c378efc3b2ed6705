"""Fetches a model artifact and loads it into the engine: the one place where stages get an engine from."""

from collections.abc import Callable

from selfalign_stages.artifacts import reading
from selfalign_stages.engine.interface import Engine
from selfalign_stages.step.context import StepContext


def open_engine(context: StepContext, *, model: str) -> Engine:
    """The engine over the model that the task's input `model` names."""
    with context.stop.at_once():
        from selfalign_stages.engine.vllm_engine import VllmEngine

        manifest = reading.require_manifest(context.store, context.task.inputs[model])
        folder = reading.download(context.store, manifest, context.scratch / model)
        return VllmEngine(folder, seed=context.task.seed)


class LazyEngine:
    """An engine that is loaded at its first use: a resumed step whose completions all exist never loads one."""

    def __init__(self, load: Callable[[], Engine]) -> None:
        self._load = load
        self._engine: Engine | None = None

    def get(self) -> Engine:
        """The engine."""
        if self._engine is None:
            self._engine = self._load()
        return self._engine
