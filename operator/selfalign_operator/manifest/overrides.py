"""Overrides of the command line, `--set path=value`: change a parsed manifest before it is checked. Pure.

Overrides act on the document and not on the model, so that a changed value is checked like a written one, with the same
messages. The value is YAML: `7` is a number, `[a, b]` a list, `"7"` text.
"""

import re
from typing import Any

from selfalign_operator.manifest.document import check_values, without_shared_values
from selfalign_operator.manifest.error_messages import short_value
from selfalign_stages.contract import strict_yaml
from selfalign_stages.contract.printable import printable
from selfalign_stages.contract.strict_json import MAX_DEPTH
from selfalign_stages.contract.task import LONGEST_VALUE, Problem

PART = re.compile(r"([^.\[\]]+)|\[([0-9]{1,6})\]")
"""One part of a path: a key, or an index in brackets."""


def apply(document: Any, override: str) -> Problem | None:
    """Sets one value.

    Args:
        document: the parsed manifest, changed in place. Missing mappings on the way are created; a list grows by one if
            the index is its length.
        override: PATH=VALUE, such as `spec.stages.evaluation.suites[0].name=hhh`. An empty value is empty text.

    Returns:
        What is wrong with the override, or None. A path that the manifest cannot have is not wrong here: validation
        reports it as an unknown field.
    """
    path, separator, text = override.partition("=")
    parts = _parts(path)
    if not separator or parts is None:
        # printable, because the bytes of a command line need not be text
        shown = printable(override)[:LONGEST_VALUE]
        return Problem(field="--set", value=shown, message="write --set path=value, such as spec.seed=7")
    if len(parts) > MAX_DEPTH:
        return Problem(field="--set", message=f"a path of {len(parts)} parts: no field has more than {MAX_DEPTH}")
    try:
        # empty text is no YAML document, but `--set spec.image.license=` clearly means an empty string
        value = strict_yaml.parse(text or '""')
    except ValueError as error:
        return Problem(field=path, value=printable(text)[:LONGEST_VALUE], message=f"--set: {error}")
    if problems := check_values(value):
        return Problem(field=path, value=printable(text)[:LONGEST_VALUE], message=f"--set: {problems[0].message}")
    return _put(document, parts, without_shared_values(value), path)


def _parts(path: str) -> list[str | int] | None:
    """Keys and indices of a path; None if it is empty or anything but dots remains between them."""
    matches = list(PART.finditer(path))
    rest = PART.sub("", path).replace(".", "")
    if not matches or rest:
        return None
    return [int(match.group(2)) if match.group(2) is not None else match.group(1) for match in matches]


def _put(document: Any, parts: list[str | int], value: Any, path: str) -> Problem | None:
    container = document
    for position, part in enumerate(parts):
        is_last = position == len(parts) - 1
        if isinstance(part, int):
            # an index equal to the length appends, but nothing can be created below it
            if not isinstance(container, list) or part > len(container) or (part == len(container) and not is_last):
                return Problem(field=path, value=short_value(value), message=f"--set: there is no item [{part}]")
            if is_last:
                container[part : part + 1] = [value]
                return None
        elif not isinstance(container, dict):
            message = f"--set: {part!r} is below a value that is not a mapping: shorten the path"
            return Problem(field=path, value=short_value(value), message=message)
        elif is_last:
            container[part] = value
            return None
        elif container.get(part) is None:  # absent, or written as `stages:` without a value
            container[part] = {}
        container = container[part]
    return None
