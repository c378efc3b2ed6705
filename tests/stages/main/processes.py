"""Stage processes as the operator starts them."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfalign_stages.contract.model import Model
from selfalign_stages.contract.task import Leaf, StoreLocation, Task

ROOT = Path(__file__).parents[3]
PROGRAM = ("-m", "selfalign_stages.main")


@dataclass(frozen=True)
class Ended:
    """A finished process: its exit code, its result file (empty if there is none) and its log."""

    code: int
    result: dict[str, Any]
    log: str


def import_task(folder: Path, leaf: Leaf, *, key: str = "k" * 64) -> Task:
    """A task to import a base model into a store below `folder`."""
    return Task(
        id="import",
        kind="import",
        key=key,
        seed=1,
        store=StoreLocation(uri=(folder / "store").as_uri()),
        parameters={},
        leaves={"baseModel": leaf},
    )


def start(
    folder: Path, kind: str, task: Model | str, *options: str, program: Sequence[str] = PROGRAM, **environment: str
) -> subprocess.Popen[str]:
    """Starts a stage process; its result goes to result.json below `folder`."""
    text = task if isinstance(task, str) else task.model_dump_json(by_alias=True)
    (folder / "task.json").write_text(text)
    arguments = [kind, "--task", str(folder / "task.json"), "--result", str(folder / "result.json"), *options]
    return subprocess.Popen(
        [sys.executable, *program, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT / "stages"), "OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def failing(statement: str) -> tuple[str, str]:
    """A stage program whose steps do nothing but a statement; `context` is the step's."""
    code = (
        "import sys\n"
        "from selfalign_stages import main, steps\n"
        "def step(context):\n"
        f"    {statement}\n"
        "steps.load = lambda kind: step\n"
        "sys.exit(main.main())\n"
    )
    return "-c", code


def wait(folder: Path, process: subprocess.Popen[str]) -> Ended:
    """Waits for the end."""
    log, _ = process.communicate(timeout=120)
    result = folder / "result.json"
    return Ended(process.returncode, json.loads(result.read_bytes()) if result.exists() else {}, log)


def run(folder: Path, kind: str, task: Model | str, *options: str, **environment: str) -> Ended:
    """Starts and waits."""
    return wait(folder, start(folder, kind, task, *options, program=PROGRAM, **environment))
