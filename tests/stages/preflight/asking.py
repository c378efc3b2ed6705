"""Builds preflight tasks as `selfalign run` does, and artifacts that make steps count as finished."""

import shutil
from pathlib import Path
from typing import Any

from tests.operator import builders
from tests.stages.base_model import folders

from selfalign_operator.api.evaluation import BUILTIN_SUITES
from selfalign_operator.planning import store_location, tasks
from selfalign_stages import builtin
from selfalign_stages.artifacts.file_store import FileStore
from selfalign_stages.contract import graph
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.task import PreflightResult, PreflightTask, Problem


def task(folder: Path, **spec: Any) -> PreflightTask:
    """Builds the task of a run with a small base model and a copy of the main pack.

    Args:
        folder: contains model, pack and store; model and pack are created if missing.
        **spec: fields of the run's spec that replace the defaults.
    """
    if not (folder / "model").exists():
        folders.write(folder / "model", folders.contents())
        shutil.copytree(builtin.folder("packs", "dromedary-16"), folder / "pack")
    settings = {"baseModel": {"uri": "file://model"}, "principles": {"uri": "file://pack"}} | spec
    # The small model's tokenizer has a token for each byte: the pack's prompt takes four times its usual tokens.
    settings.setdefault("engine", {"contextLength": 32_768})
    # A pack that is not built in has no suites that apply by themselves.
    evaluation = settings.get("stages", {}).get("evaluation", {})
    if "uri" in settings["principles"] and "suites" not in evaluation:
        listed = [suite.to_dict() for suite in BUILTIN_SUITES["dromedary-16"]]
        settings["stages"] = settings.get("stages", {}) | {"evaluation": evaluation | {"suites": listed}}
    run = builders.run(**settings)
    return tasks.preflight(run, store_location.on_this_machine(run, folder, default_uri=(folder / "store").as_uri()))


def append(path: Path, text: str) -> None:
    """Adds text to a file."""
    path.write_text(path.read_text() + text)


def publish(task: PreflightTask, result: PreflightResult, id_: str) -> None:
    """Publishes an empty artifact for a step.

    Args:
        task: the run.
        result: its preflight, whose leaf digests determine the key.
        id_: the step.
    """
    step = next(step for step in task.steps if step.id == id_)
    key = graph.keys(task.steps, leaves=result.leaves, seed=task.seed)[id_]
    manifest = Manifest(kind=step.kind, step_version=1, key=key, files=(), seed=task.seed, metrics={"loss": 1.5})
    store = FileStore(Path(task.store.uri.removeprefix("file://")))
    store.put(f"{manifest.ref.prefix}/manifest.json", manifest.encode())


def messages(result: PreflightResult, field: str) -> list[str]:
    """Messages of the problems of a field."""
    return [problem.message for problem in result.problems if problem.field == field]


def fields(problems: tuple[Problem, ...]) -> set[str]:
    """Fields that have problems."""
    return {problem.field for problem in problems}
