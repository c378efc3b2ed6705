"""Rows of suite files as their authors publish them: from text to checked values, or to an error with file and place.

Whoever writes a suite may write anything: a number where a text is expected, a list for an object, a line that is cut
off. Each row is therefore validated by a model before a field of it is used, and every mistake is a BadInput (reason
SuiteMalformed) that names file, line or item, and field.
"""

import csv
import io
import re
import warnings
from collections.abc import Iterator
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from selfalign_stages.contract import strict_json
from selfalign_stages.contract.exits import BadInput

CSV_FIELD_CHARACTERS = 131_072
"""Most characters of a CSV field; csv's own default, which other code of the process may change."""
LONGEST_VALUE = 60
"""Characters of a wrong value in a message: enough to find it in the file."""


class Row(BaseModel):
    """A row with the fields that are used; public files have more."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class HhhExample(Row):
    """An example of a BIG-bench task."""

    input: str
    target_scores: dict[str, int | float]
    category: str | None = None


class TruthfulRow(Row):
    """A question of TruthfulQA's mc_task.json."""

    question: str
    mc1_targets: dict[str, Literal[0, 1]]
    mc2_targets: dict[str, Literal[0, 1]] | None = Field(default=None, min_length=1)


class TruthfulCsvRow(Row):
    """A question of TruthfulQA.csv."""

    question: str = Field(alias="Question")
    best: str = Field(alias="Best Answer")
    correct: str = Field(alias="Correct Answers")
    incorrect: str = Field(alias="Incorrect Answers")


Checked = TypeVar("Checked", bound=BaseModel)


def check(model: type[Checked], value: Any, place: str) -> Checked:
    """Validates a row.

    Args:
        model: what it must be.
        value: the row, as the file has it.
        place: file and item, for the message.

    Raises:
        BadInput: it is something else; the message names the first field that is wrong.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        location = first["loc"]
        if first["type"] == "missing":
            raise malformed(place, f"has no field {str(location[-1])!r}") from error
        field = ".".join(str(part)[:LONGEST_VALUE] for part in location)
        message = f"{first['msg']} (is {str(first['input'])[:LONGEST_VALUE]!r})"
        raise malformed(place, f"{field}: {message}" if field else message) from error


def load(text: str, place: str, *, line: int = 1) -> Any:
    """Parses a file, or one of its lines.

    Raises:
        BadInput: it is not JSON; the message names line and column.
    """
    try:
        return strict_json.loads(text, line=line)
    except ValueError as error:
        raise malformed(place, str(error)) from error


def csv_rows(text: str, place: str) -> Iterator[tuple[int, dict[Any, Any]]]:
    """Yields the number of each row's last line, and its cells by the names in the first row.

    Raises:
        BadInput: it is not CSV, a quote is not closed for example.
    """
    previous = csv.field_size_limit(CSV_FIELD_CHARACTERS)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if None in row:  # cells beyond the header: usually a comma in a text without quotes
                raise malformed(f"{place} line {reader.line_num}", "has more cells than the first row: quote texts")
            yield reader.line_num, row
    except csv.Error as error:
        # Of the inner reader, which has counted the line that it stumbled over; a quote that is never closed, the last.
        raise malformed(f"{place} line {reader.reader.line_num}", f"is not CSV: {error}") from error
    finally:
        csv.field_size_limit(previous)


def check_pattern(pattern: str, place: str) -> None:
    """Compiles a regular expression of a row.

    Raises:
        BadInput: it is not valid, or too large for Python's `re`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of constructs whose meaning a later version may change
            re.compile(pattern)
    except (re.error, ValueError, OverflowError, RecursionError) as error:  # the last three for repetitions and depth
        raise malformed(place, f"the pattern {pattern[:LONGEST_VALUE]!r} is not valid: {error}") from error


def malformed(place: str, message: str) -> BadInput:
    """The error for a mistake in a suite's file; `place` names the file and, where it is known, the item."""
    return BadInput(f"suite {place}: {message}", reason="SuiteMalformed")
