"""Runs import steps in the test's process: store and scratch in a folder, and a stop that a test can request."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.steps_support import Asked

from selfalign_stages.artifacts.file_store import FileStore
from selfalign_stages.base_model import inspection, open_source
from selfalign_stages.contract.exits import StageError
from selfalign_stages.contract.task import Leaf, StoreLocation, Task
from selfalign_stages.step.context import StepContext


def location(folder: Path) -> StoreLocation:
    """A file store below a test's folder."""
    return StoreLocation(uri=(folder / "store").as_uri())


def digest(leaf: Leaf, folder: Path) -> str:
    """The leaf digest that preflight computes."""
    return inspection.inspect(open_source.open_source(leaf, store=location(folder)), leaf).digest


def context(leaf: Leaf, folder: Path, *, stop: Callable[[], bool] = lambda: False) -> StepContext:
    """The context of one attempt at importing a base model.

    Args:
        leaf: the base model; with a digest, the import refuses a model that differs from it.
        folder: contains store and scratch folder. A second context in it resumes the first attempt.
        stop: whether the step has to stop, asked before every file.
    """
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    task = Task(
        id="import",
        kind="import",
        key="k" * 64,
        seed=1,
        store=location(folder),
        parameters={},
        leaves={"baseModel": leaf},
    )
    return StepContext(task=task, store=FileStore(folder / "store"), scratch=scratch, stop=Asked(stop))


def stop_after(files: int) -> Callable[[], bool]:
    """A stop that is requested after the first `files` files."""
    remaining = iter(range(files))
    return lambda: next(remaining, None) is None


def refusal(leaf: Leaf, folder: Path) -> StageError:
    """The error of a base model that cannot be inspected."""
    with pytest.raises(StageError) as raised:
        digest(leaf, folder)
    return raised.value
