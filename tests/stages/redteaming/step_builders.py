"""Shared by the tests of whole red-teaming steps: contexts over a file store, engines that die, published rows."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.steps_support import ScriptedEngine, context

from selfalign_stages.artifacts import reading
from selfalign_stages.contract.graph import Kind
from selfalign_stages.contract.manifest import ArtifactRef, Manifest
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.parameters import Sampling
from selfalign_stages.engine.interface import Completion, Request
from selfalign_stages.pack.loading import load
from selfalign_stages.step.context import StepContext

PACK = load("builtin://hamlet")
TYPES = [kind.type for kind in PACK.question_types]
KEY, SEED = "0" * 64, 7
SAMPLING = Sampling(temperature=0.9, top_p=0.8, max_tokens=50)
Row = TypeVar("Row", bound=Model)


class Killed(Exception):
    """The end of the process, as by SIGKILL."""


def until_killed(answer: Callable[[Request], Completion], *, after: int) -> ScriptedEngine:
    """An engine whose process is killed after that many completions."""
    engine = ScriptedEngine(lambda request: answer(request))

    def answer_or_die(request: Request) -> Completion:
        if len(engine.requests) > after:
            raise Killed
        return answer(request)

    engine.answer = answer_or_die
    return engine


def step_context(
    folder: Path, kind: Kind, parameters: Model, inputs: dict[str, ArtifactRef] | None = None
) -> StepContext:
    leaves = {"pack:queries": "builtin://hamlet"}
    return context(folder, kind, key=KEY, seed=SEED, parameters=parameters, inputs=inputs, leaves=leaves)


def published_rows(step: StepContext, manifest: Manifest, model: type[Row]) -> list[Row]:
    """All published rows, rejected ones included."""
    return list(reading.rows(step.store, manifest, model, kept=False))


def forbidden(request: Request) -> Completion:
    raise AssertionError(f"no completion is missing, but one was requested: {request}")
