"""Words pydantic's errors as problems: the field's path as it is written, the value, and what to write instead."""

import difflib
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.manifest.document import join
from selfalign_stages.contract.task import Problem

Place = tuple[str | int, ...]
LONGEST_VALUE = 200


def problem(error: ErrorDetails, document: Any) -> Problem:
    """One error in our words."""
    place = real_place(document, error["loc"])
    missing = error["type"] == "missing"
    return Problem(field=path(place), value=None if missing else shown(error["input"]), message=_message(error, place))


def innermost(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Without lists that are too short only because items in them are faulty."""
    places = [error["loc"] for error in errors]
    return [
        error
        for error in errors
        if error["type"] != "too_short"
        or not any(place[: len(error["loc"])] == error["loc"] != place for place in places)
    ]


def real_place(document: Any, place: Place) -> Place:
    """`place` without what pydantic adds for members of unions; the last part may be missing from the document."""
    here = document
    for position, part in enumerate(place):
        if isinstance(here, dict) and part not in here and position == len(place) - 1:
            return place
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            return place[:position]
    return place


def path(place: Iterable[str | int]) -> str:
    """Dotted, with indices in brackets."""
    found = ""
    for part in place:
        found = join(found, part)
    return found


def shown(value: Any) -> Any:
    """The value, unless it is too long to be of help."""
    return value if len(repr(value)) <= LONGEST_VALUE else None


def suggestion(wrong: str, known: Sequence[str]) -> str:
    """A did-you-mean, or what there is."""
    near = difflib.get_close_matches(wrong, known, n=1, cutoff=0.6)
    if not near:
        lowered = {name.lower(): name for name in known}
        match = difflib.get_close_matches(wrong.lower().replace("_", ""), list(lowered), n=1, cutoff=0.6)
        near = [lowered[match[0]]] if match else []
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"


def _message(error: ErrorDetails, place: Place) -> str:
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        return f"unknown field: {suggestion(str(place[-1]), fields_at(place[:-1]))}"
    if kind == "missing":
        return f"required: add it (there is {_known_fields(value)})"
    text = error["msg"]
    for start in ("Input ", "Value ", "String ", "Tuple ", "Value error, "):
        text = text.removeprefix(start)
    text = text.replace(" after validation", "")
    if kind == "string_pattern_mismatch":
        return f"not of the form {error['ctx']['pattern']}" if "ctx" in error else text
    if kind == "literal_error" and isinstance(value, str):
        allowed = [word.strip("'") for word in error["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        near = difflib.get_close_matches(value, allowed, n=1)
        return f"{text}; did you mean {near[0]}?" if near else text
    if kind in ("int_type", "float_type") and isinstance(value, str):
        return f"{text}: write it without quotes and units"
    return text


def _known_fields(value: Any) -> str:
    return "nothing here" if not isinstance(value, dict) or not value else f"only {', '.join(map(str, value))}"


def fields_at(place: Place) -> list[str]:
    """The fields, as written, of the mapping at a place in the manifest."""
    model: Any = SelfAlignRun
    for part in place:
        model = _inner(model, part)
    return [field.alias or name for name, field in model.model_fields.items()] if _is_model(model) else []


def _inner(model: Any, part: str | int) -> Any:
    if _is_model(model):
        found = [field for name, field in model.model_fields.items() if part in (field.alias, name)]
        return _model_in(found[0].annotation) if found else None
    return model


def _model_in(annotation: Any) -> Any:
    """The model within an optional, a tuple or an annotated type."""
    if _is_model(annotation) or typing.get_origin(annotation) is None:
        return annotation
    inner = [_model_in(part) for part in typing.get_args(annotation) if part not in (types.NoneType, Ellipsis)]
    return next((part for part in inner if _is_model(part)), None)


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)
