"""Reads rows of one's own: every row checked by a model, and the digest of the text that they were read from.

Preflight uses `examine`, a step `read`; both read in the same way, so that what preflight accepts cannot fail later,
and what it fixed by its digest is what the step uses. A wrong row is an error with its line, never skipped: rows that
are lost unnoticed would be missing from the training.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from selfalign_stages.base_model.quoting import shown
from selfalign_stages.own_rows import lines
from selfalign_stages.own_rows.opening import RowFile, opened

LONGEST_VALUE = 60
"""Characters of a wrong value in a message: enough to find it in the file."""


class Row(BaseModel):
    """Base class of rows: the fields that are used; files have more, which are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


Checked = TypeVar("Checked", bound=Row)


def read(file: RowFile, row: type[Checked], *, scratch: Path | None = None) -> list[tuple[int, Checked]]:
    """Reads all rows of a file.

    Args:
        file: the file.
        row: what each row must be.
        scratch: folder for a download; None: the system's for temporary files.

    Returns:
        The rows in their order, each with its number: of the line, or in a Parquet file of the row. There is at
        least one.

    Raises:
        BadInput: there is no such file, a row is wrong, or the text differs from what preflight read (LeafChanged).
        AccessDenied: the credentials are missing or refused, or this user may not read the file.
        Unavailable: the service is down or throttles.
    """
    digest = hashlib.sha256()
    rows = list(_rows(file, row, scratch, see=digest.update))
    if file.leaf.digest and file.leaf.digest != f"sha256:{digest.hexdigest()}":
        raise file.problem("was changed since preflight: run again", reason="LeafChanged")
    return rows


def examine(file: RowFile, row: type[Row], *, scratch: Path | None = None) -> tuple[int, str]:
    """Reads a file as `read` does and keeps nothing of it, whatever its size.

    Returns:
        The number of rows, and the digest of the text, of a Parquet file that of the columns in use. Compression
        does not change it.

    Raises:
        StageError: as `read`.
    """
    digest = hashlib.sha256()
    number = sum(1 for _ in _rows(file, row, scratch, see=digest.update))
    return number, f"sha256:{digest.hexdigest()}"


def _rows(
    file: RowFile, row: type[Checked], scratch: Path | None, *, see: Callable[[bytes], None]
) -> Iterator[tuple[int, Checked]]:
    """Yields the rows, and shows `see` the text that they are in."""
    parquet = file.leaf.uri.endswith(".parquet")
    unit = "row" if parquet else "line"
    number = 0
    with opened(file, scratch=scratch) as stream:
        values = _of_parquet(stream, row, scratch, see) if parquet else _of_lines(stream, file.leaf.uri, see)
        try:
            for number, value in values:
                yield number, _check(row, value, f"{unit} {number}")
        except ValueError as error:
            raise file.problem(str(error), reason="RowsMalformed") from error
    if not number:
        remedy = "write at least one" if parquet else "write one JSON object per line"
        raise file.problem(f"has no row: {remedy}", reason="RowsMalformed")


def _of_lines(stream: BinaryIO, name: str, see: Callable[[bytes], None]) -> Iterator[tuple[int, Any]]:
    for number, line in lines.numbered(_seen(lines.blocks(stream, name=name), see)):
        yield number, lines.parse(line, number=number)


def _of_parquet(
    stream: BinaryIO, row: type[Row], scratch: Path | None, see: Callable[[bytes], None]
) -> Iterator[tuple[int, Any]]:
    # Imported here: pyarrow takes a second, and most runs name no such file.
    from selfalign_stages.own_rows import parquet

    for number, value, text in parquet.rows(stream, columns=row.model_fields, scratch=scratch):
        see(text)
        yield number, value


def _seen(text: Iterator[bytes], see: Callable[[bytes], None]) -> Iterator[bytes]:
    for block in text:
        see(block)
        yield block


def _check(row: type[Checked], value: Any, place: str) -> Checked:
    """Validates a row.

    Raises:
        ValueError: it is something else; the message names the place and the first field that is wrong.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{place}: is no JSON object: write one per line, in braces")
    try:
        return row.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        raise ValueError(f"{place}: has no field {field!r}")
    if not field:  # of the whole row: the message says all
        raise ValueError(f"{place}: {first['msg']}")
    raise ValueError(f"{place}: {field}: {first['msg']} (is {shown(first['input'], longest=LONGEST_VALUE)!r})")
