"""Fetches a model artifact from the store and loads it into vLLM.

Every step obtains its engine here, through a parameter `load` that defaults to `open_engine`: a test passes a
scripted engine instead, and the step itself never imports vLLM, whose import alone takes seconds.
"""

from typing import Protocol

from selfalign_stages.artifacts import reading
from selfalign_stages.contract.parameters import EngineParameters
from selfalign_stages.engine.interface import Engine
from selfalign_stages.step.context import StepContext


class EngineLoader(Protocol):
    """Loads the engine of a step: `open_engine`, or a stand-in with the same signature."""

    def __call__(self, context: StepContext, *, model: str) -> Engine:
        """Returns a ready engine over the model of the step's input `model`."""


def open_engine(context: StepContext, *, model: str) -> Engine:
    """Downloads a model artifact to the scratch folder and loads it into vLLM.

    Args:
        context: the step; its seed also seeds the engine.
        model: name of the step's input that refers to the model artifact (`baseModel`, `teacher`, `model`).

    Raises:
        BadInput: the artifact is gone, or vLLM does not support the model.
        DoesNotFit: the model exceeds disk or device memory.
        Interrupted: SIGTERM arrived while loading; nothing is lost.
    """
    # Loading may exceed the pod's grace period, so that a signal must end it at once instead of at the next chunk.
    with context.stop.at_once():
        from selfalign_stages.engine.vllm_engine import VllmEngine

        manifest = reading.require_manifest(context.store, context.task.inputs[model])
        folder = reading.download(context.store, manifest, context.scratch / model)
        settings = EngineParameters.model_validate(context.task.parameters.get("engine") or {})
        return VllmEngine(
            folder,
            seed=context.task.seed,
            settings=settings,
            device=context.task.engine,
            check_stop=context.check_stop,
        )


class LazyEngine:
    """Loads the engine on first use and keeps it for all rounds of a step.

    A resumed step whose completions all exist in the store never loads a model, which takes minutes for a large one.

    Args:
        context: the step.
        model: name of the step's input that refers to the model artifact.
        load: loads the engine.
    """

    def __init__(self, context: StepContext, *, model: str, load: EngineLoader = open_engine) -> None:
        self._context, self._model, self._load = context, model, load
        self._engine: Engine | None = None

    def get(self) -> Engine:
        """Returns the engine, loading it at the first call."""
        if self._engine is None:
            self._engine = self._load(self._context, model=self._model)
        return self._engine
