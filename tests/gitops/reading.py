"""The status that Flux derives from an object, by its own kstatus library in a program of a few lines."""

import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests import go_modules
from tests.tools import built_once

MODULE, VERSION = "github.com/fluxcd/cli-utils", "v1.3.0"
SOURCE = Path(__file__).parent / "main.go"


def read(objects: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Returns status (InProgress, Current, Failed) and message of each object."""
    lines = "".join(f"{json.dumps(object_)}\n" for object_ in objects)
    done = subprocess.run([str(_program())], input=lines, capture_output=True, text=True, check=True)
    return [(status, message) for status, message in map(json.loads, done.stdout.splitlines())]


def _program() -> Path:
    def build(folder: Path) -> Path:
        shutil.copy(SOURCE, folder)
        go_modules.build_own(folder, f"{MODULE}@{VERSION}", output="built")
        return folder / "built"

    return built_once(f"kstatus-{VERSION}", build)
