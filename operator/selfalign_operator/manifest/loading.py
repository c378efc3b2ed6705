"""Loads a manifest: `load(text)` returns a SelfAlignRun, or every problem at once.

Every problem, because a run may be checked in a pipeline where each attempt costs minutes. Pydantic reports all invalid
fields, but builds no model as long as there is one, and the rules across fields need a model. So invalid fields are
replaced (by defaults, or placeholders where a field is required) until the rest is a model; the rules then run on it
and skip whatever depends on a replaced field.
"""

import copy
import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.manifest import cross_field, error_messages, overrides
from selfalign_operator.manifest.document import check_values, without_shared_values
from selfalign_operator.manifest.error_messages import Location
from selfalign_stages.contract import strict_yaml
from selfalign_stages.contract.task import Problem

PLACEHOLDERS: dict[Location, Any] = {
    ("apiVersion",): "selfalign.dev/v1alpha1",
    ("kind",): "SelfAlignRun",
    ("metadata",): {"name": "placeholder"},
    ("metadata", "name"): "placeholder",
    ("spec",): {"baseModel": {"uri": "builtin://placeholder"}},
    ("spec", "baseModel"): {"uri": "builtin://placeholder"},
    ("spec", "baseModel", "uri"): "builtin://placeholder",
}
"""Values for required fields that are missing or invalid, so that the rest can be checked. Never part of a result."""
MAX_PROBLEMS = 100
"""Most invalid fields that are reported; a file with more is another kind of document, such as a list of thousands."""
MAX_PRUNINGS = 3
"""How often invalid fields are replaced: a default in place of one may violate a validator of the model around it."""


def load(text: str, *, set_values: Sequence[str] = ()) -> SelfAlignRun | list[Problem]:
    """Loads a manifest.

    Args:
        text: YAML, one document.
        set_values: overrides as "path=value", applied in order before the check.

    Returns:
        The run; or the problems, of overrides first. A text that is not YAML, or not a mapping, has that problem only.
    """
    try:
        document = strict_yaml.parse(text)
    except ValueError as error:
        return [Problem(field="", message=str(error))]
    if not isinstance(document, dict):
        return [Problem(field="", message="expected a mapping with apiVersion, kind, metadata and spec")]
    if unusable := check_values(document):
        return unusable
    document = without_shared_values(document)
    invalid_overrides = [
        problem for override in set_values if (problem := overrides.apply(document, override)) is not None
    ]
    # once more, because the value of an override can be deep, and its path as well
    if unusable := check_values(document):
        return invalid_overrides + unusable
    checked = check(document)
    if isinstance(checked, SelfAlignRun):
        return invalid_overrides or checked
    return invalid_overrides + checked


def check(document: dict[str, Any]) -> SelfAlignRun | list[Problem]:
    """Validates a document; returns the run, or the problems of single fields followed by those across valid fields."""
    try:
        run = _validate(document)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=True)
        causes = error_messages.innermost(errors)
        problems = [error_messages.problem(details, document) for details in causes[:MAX_PROBLEMS]]
        if (left_out := len(causes) - MAX_PROBLEMS) > 0:
            return [*problems, Problem(field="", message=f"{left_out} more problems: correct those above first")]
        rest = _without_invalid_fields(document, errors)
        invalid = {problem.field for problem in problems}
        return problems + (cross_field.problems(rest, invalid=invalid) if rest else [])
    return cross_field.problems(run, invalid=set()) or run


def _validate(document: dict[str, Any]) -> SelfAlignRun:
    # JSON mode: strict, but lists become tuples, as for an object of the API server
    return SelfAlignRun.model_validate_json(json.dumps(document), strict=True, by_alias=True, by_name=False)


def _without_invalid_fields(document: dict[str, Any], errors: Sequence[ErrorDetails]) -> SelfAlignRun | None:
    """The run with its invalid fields replaced; None if that does not make it valid."""
    pruned = copy.deepcopy(document)
    for _ in range(MAX_PRUNINGS):
        for error in errors:
            _prune(pruned, error["loc"])
        try:
            return _validate(pruned)
        except ValidationError as error:
            errors = error.errors(include_url=False)
    return None


def _prune(document: Any, location: Location) -> None:
    """Replaces the value at a location by its placeholder, or removes it."""
    location = error_messages.document_location(document, location)
    container = document
    for part in location[:-1]:
        try:
            container = container[part]
        except (KeyError, IndexError, TypeError):
            return  # removed together with a container around it
    if not location:
        return
    last = location[-1]
    if location in PLACEHOLDERS and isinstance(container, dict):
        container[str(last)] = copy.deepcopy(PLACEHOLDERS[location])
    elif isinstance(container, dict):
        container.pop(str(last), None)
    elif isinstance(container, list) and isinstance(last, int) and last < len(container):
        del container[last]
