"""--set path=value: changes a parsed manifest before it is checked. Pure."""

import re
from typing import Any

from selfalign_stages.contract import strict_yaml
from selfalign_stages.contract.task import Problem

PART = re.compile(r"([^.\[\]]+)|\[([0-9]+)\]")


def apply(document: Any, override: str) -> Problem | None:
    """Sets one value in place, creating mappings on the way; the value is read as YAML."""
    path, separator, text = override.partition("=")
    parts = _parts(path)
    if not separator or parts is None:
        return Problem(field="--set", value=override, message="write --set path=value, such as spec.seed=7")
    try:
        value = strict_yaml.parse(text or '""')
    except ValueError as error:
        return Problem(field=path, value=text, message=f"--set: {error}")
    return _put(document, parts, value, path)


def _parts(path: str) -> list[str | int] | None:
    found = list(PART.finditer(path))
    rest = PART.sub("", path).replace(".", "")
    if not found or rest:
        return None
    return [int(match.group(2)) if match.group(2) is not None else match.group(1) for match in found]


def _put(document: Any, parts: list[str | int], value: Any, path: str) -> Problem | None:
    here = document
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        if isinstance(part, int):
            if not isinstance(here, list) or part > len(here) or (part == len(here) and not last):
                return Problem(field=path, value=value, message=f"--set: there is no item [{part}]")
            if last:
                here[part : part + 1] = [value]
                return None
        elif not isinstance(here, dict):
            return Problem(field=path, value=value, message=f"--set: {part!r} is looked for in what is not a mapping")
        elif last:
            here[part] = value
            return None
        elif here.get(part) is None:
            here[part] = {}
        here = here[part]
    return None
