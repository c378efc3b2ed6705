"""What Flux makes of an object: its own kstatus library, in a program of a few lines."""

import fcntl
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests import go_modules
from tests.tools import CACHE

MODULE, VERSION = "github.com/fluxcd/cli-utils", "v1.3.0"
SOURCE = Path(__file__).parent / "main.go"


def read(objects: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Status (InProgress, Current, Failed) and message of each object."""
    lines = "".join(f"{json.dumps(one)}\n" for one in objects)
    done = subprocess.run([str(_program())], input=lines, capture_output=True, text=True, check=True)
    return [(status, message) for status, message in map(json.loads, done.stdout.splitlines())]


def _program() -> Path:
    target = CACHE / f"kstatus-{VERSION}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            if shutil.which("go") is None:
                pytest.skip(f"needs Go to build {MODULE}")
            with tempfile.TemporaryDirectory() as folder:
                shutil.copy(SOURCE, folder)
                go_modules.build_own(Path(folder), f"{MODULE}@{VERSION}", output="built")
                shutil.move(Path(folder) / "built", target)
    return target
