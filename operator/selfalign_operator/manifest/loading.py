"""load(text) gives a SelfAlignRun or every problem at once: YAML, fields, types, values, combinations."""

import copy
import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.manifest import cross_field, error_messages, overrides
from selfalign_operator.manifest.document import check_values
from selfalign_stages.contract import strict_yaml
from selfalign_stages.contract.task import Problem

PLACEHOLDERS: dict[tuple[str | int, ...], Any] = {
    ("apiVersion",): "selfalign.dev/v1alpha1",
    ("kind",): "SelfAlignRun",
    ("metadata",): {"name": "placeholder"},
    ("metadata", "name"): "placeholder",
    ("spec",): {"baseModel": {"uri": "builtin://placeholder"}},
    ("spec", "baseModel"): {"uri": "builtin://placeholder"},
    ("spec", "baseModel", "uri"): "builtin://placeholder",
}
"""What stands in for a required field that is missing or wrong, so that the rest can still be checked."""


def load(text: str, *, set_values: Sequence[str] = ()) -> SelfAlignRun | list[Problem]:
    """The run in `text` with `set_values` ("path=value") applied."""
    try:
        document = strict_yaml.parse(text)
    except ValueError as error:
        return [Problem(field="", message=str(error))]
    if not isinstance(document, dict):
        return [Problem(field="", message="a mapping with apiVersion, kind, metadata and spec is expected")]
    if unusable := check_values(document):
        return unusable
    document = json.loads(json.dumps(document))  # aliases become copies, so that --set changes one place alone
    wrong = [problem for override in set_values if (problem := overrides.apply(document, override)) is not None]
    if unusable := check_values(document):
        return wrong + unusable
    checked = check(document)
    if isinstance(checked, SelfAlignRun):
        return wrong or checked
    return wrong + checked


def check(document: dict[str, Any]) -> SelfAlignRun | list[Problem]:
    """The run, or the problems of single fields together with those of combinations among the fields that are fine."""
    try:
        run = _validate(document)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=True)
        problems = [error_messages.problem(one, document) for one in error_messages.innermost(errors)]
        rest = _without(document, errors)
        known = {problem.field for problem in problems}
        return problems + (cross_field.problems(rest, unknown=known) if rest else [])
    return cross_field.problems(run, unknown=set()) or run


def _validate(document: dict[str, Any]) -> SelfAlignRun:
    return SelfAlignRun.model_validate_json(json.dumps(document), strict=True, by_alias=True, by_name=False)


def _without(document: dict[str, Any], errors: Sequence[ErrorDetails]) -> SelfAlignRun | None:
    """The document without its faulty fields, if that makes it readable."""
    pruned = copy.deepcopy(document)
    for _ in range(3):  # a default in place of a faulty field may uncover one more
        for error in errors:
            _prune(pruned, error["loc"])
        try:
            return _validate(pruned)
        except ValidationError as error:
            errors = error.errors(include_url=False)
    return None


def _prune(document: Any, place: tuple[str | int, ...]) -> None:
    place = error_messages.real_place(document, place)
    here = document
    for part in place[:-1]:
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            return
    if not place:
        return
    if place in PLACEHOLDERS and isinstance(here, dict):
        here[str(place[-1])] = copy.deepcopy(PLACEHOLDERS[place])
    elif isinstance(here, dict):
        here.pop(str(place[-1]), None)
    elif isinstance(here, list) and isinstance(place[-1], int) and place[-1] < len(here):
        del here[place[-1]]
