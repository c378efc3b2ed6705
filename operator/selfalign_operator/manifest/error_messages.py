"""Words pydantic's errors for users: the path as it is written in the manifest, the value, and what to write instead.

Pydantic's own messages name Python types and internal names of union members, and its locations contain parts that are
not in the document. Users edit YAML, so locations are mapped back to the document and messages are reworded.
"""

import difflib
import itertools
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.manifest.document import join
from selfalign_stages.contract.task import Problem

Location = tuple[str | int, ...]
"""Keys and indices from the top of a document, as in pydantic's `loc`."""
MAX_VALUE_CHARACTERS = 200
"""Longer values are left out of a message: a user finds the field by its path."""
MAX_NAMES, MAX_NAME_CHARACTERS = 20, 40
"""Names in a list of the fields that are there, and characters of each: more than any mapping of a manifest has."""
SIMILARITY = 0.6
"""Least similarity (difflib's ratio) of a did-you-mean suggestion; its own default, good for typos and wrong case."""


def problem(error: ErrorDetails, document: Any) -> Problem:
    """Words one error.

    Args:
        error: an entry of `ValidationError.errors()`.
        document: the document that was validated.
    """
    location = document_location(document, error["loc"])
    value = None if error["type"] == "missing" else short_value(error["input"])
    return Problem(field=field_path(location), value=value, message=_message(error, location))


def innermost(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Drops errors that follow from others: pydantic calls a list too short if all of its items are invalid."""
    locations = [error["loc"] for error in errors]
    return [
        error
        for error in errors
        if error["type"] != "too_short"
        or not any(location[: len(error["loc"])] == error["loc"] != location for location in locations)
    ]


def document_location(document: Any, location: Location) -> Location:
    """Maps a location of pydantic to the document.

    Pydantic inserts the names of union members and validators, which the document does not contain; the location is cut
    at the first of them.

    Args:
        document: the document that was validated.
        location: `loc` of an error. Its last part may be missing from the document, as for a required field.
    """
    value = document
    for position, part in enumerate(location):
        if isinstance(value, dict) and part not in value and position == len(location) - 1:
            return location
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return location[:position]
    return location


def field_path(location: Iterable[str | int]) -> str:
    """Writes a location as a path: dots between keys, indices in brackets."""
    path = ""
    for part in location:
        path = join(path, part)
    return path


def short_value(value: Any) -> Any:
    """Returns the value, or None if it is too long for a message."""
    return value if len(repr(value)) <= MAX_VALUE_CHARACTERS else None


def suggestion(wrong: str, known: Sequence[str]) -> str:
    """Suggests a field for an unknown one.

    Args:
        wrong: the unknown name.
        known: the names that are allowed in its place.

    Returns:
        "did you mean X?" if one is similar, also across camelCase, snake_case and lower case; otherwise all names.
    """
    matches = difflib.get_close_matches(wrong, known, n=1, cutoff=SIMILARITY)
    # second try without case and underscores, for spellings such as SEED or GPU_HOURS
    if not matches:
        by_lower_case = {name.lower(): name for name in known}
        normalized = wrong.lower().replace("_", "")
        matches = difflib.get_close_matches(normalized, list(by_lower_case), n=1, cutoff=SIMILARITY)
        matches = [by_lower_case[match] for match in matches]
    return f"did you mean {matches[0]}?" if matches else f"known fields: {', '.join(sorted(known))}"


def _message(error: ErrorDetails, location: Location) -> str:
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        return f"unknown field; {suggestion(str(location[-1]), fields_at(location[:-1]))}"
    if kind == "missing":
        return f"required: add it ({_present_fields(value)})"
    text = _without_type_words(error["msg"])
    # the pattern itself, since a regular expression is more exact than any paraphrase and copies into tools
    if kind == "string_pattern_mismatch":
        return f"not of the form {error['ctx']['pattern']}" if "ctx" in error else text
    if kind == "literal_error" and isinstance(value, str):
        # pydantic lists the allowed values as one text: 'a', 'b' or 'c'
        allowed = [word.strip("'") for word in error["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        matches = difflib.get_close_matches(value, allowed, n=1)
        return f"{text}; did you mean {matches[0]}?" if matches else text
    if kind in ("int_type", "float_type") and isinstance(value, str):
        return f"{text}: write it without quotes and units"
    return text


def _without_type_words(message: str) -> str:
    """Strips pydantic's subject ("Input should be" becomes "should be"): the path before the message is the subject."""
    for subject in ("Input ", "Value ", "String ", "Tuple ", "Value error, "):
        message = message.removeprefix(subject)
    return message.replace(" after validation", "")


def _present_fields(value: Any) -> str:
    if not isinstance(value, dict) or not value:
        return "there are no fields here"
    names = [str(name)[:MAX_NAME_CHARACTERS] for name in itertools.islice(value, MAX_NAMES)]
    return f"fields here: {', '.join(names)}{', ...' if len(value) > MAX_NAMES else ''}"


def fields_at(location: Location) -> list[str]:
    """Returns the names of the fields, as written in YAML, that are allowed at a location of the manifest."""
    model: Any = SelfAlignRun
    for part in location:
        model = _field_model(model, part)
    return [field.alias or name for name, field in model.model_fields.items()] if _is_model(model) else []


def _field_model(model: Any, part: str | int) -> Any:
    """The model of a model's field; for the index of a list, whose items' model is already known, the model itself."""
    if not _is_model(model):
        return model
    for name, field in model.model_fields.items():
        if part in (field.alias, name):
            return _model_in(field.annotation)
    return model if isinstance(part, int) else None


def _model_in(annotation: Any) -> Any:
    """The model within an optional, a tuple or an annotated type."""
    if _is_model(annotation) or typing.get_origin(annotation) is None:
        return annotation
    arguments = (part for part in typing.get_args(annotation) if part not in (types.NoneType, Ellipsis))
    return next((model for model in map(_model_in, arguments) if _is_model(model)), None)


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)
