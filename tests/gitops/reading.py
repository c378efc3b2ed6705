"""The status that Flux derives from an object, by its own kstatus library in a program of a few lines."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from tests.helm import kstatus


def read(objects: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Returns status (InProgress, Current, Failed) and message of each object."""
    lines = "".join(f"{json.dumps(object_)}\n" for object_ in objects)
    done = subprocess.run([str(kstatus())], input=lines, capture_output=True, text=True, check=True)
    return [(status, message) for status, message in map(json.loads, done.stdout.splitlines())]
