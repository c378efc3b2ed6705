"""Reads rows of one's own: every row checked by a model, and the digest of the text that they were read from.

Preflight uses `examine`, a step `read`; both read in the same way, so that what preflight accepts cannot fail later,
and what it fixed by its digest is what the step uses. A wrong row is an error with its line, never skipped: rows that
are lost unnoticed would be missing from the training.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

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
        The rows in their order, each with its line number. There is at least one.

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
        The number of rows, and the digest of the text. Compression does not change it.

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
    number = 0
    with opened(file, scratch=scratch) as stream:
        try:
            for number, line in lines.numbered(_seen(lines.blocks(stream, name=file.leaf.uri), see)):
                yield number, _check(row, lines.parse(line, number=number), number)
        except ValueError as error:
            raise file.problem(str(error), reason="RowsMalformed") from error
    if not number:
        raise file.problem("has no row: write one JSON object per line", reason="RowsMalformed")


def _seen(text: Iterator[bytes], see: Callable[[bytes], None]) -> Iterator[bytes]:
    for block in text:
        see(block)
        yield block


def _check(row: type[Checked], value: Any, number: int) -> Checked:
    """Validates a row.

    Raises:
        ValueError: it is something else; the message names the line and the first field that is wrong.
    """
    if not isinstance(value, dict):
        raise ValueError(f"line {number}: is no JSON object: write one per line, in braces")
    try:
        return row.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        raise ValueError(f"line {number}: has no field {place!r}")
    if not place:  # of the whole row: the message says all
        raise ValueError(f"line {number}: {first['msg']}")
    raise ValueError(f"line {number}: {place}: {first['msg']} (is {shown(first['input'], longest=LONGEST_VALUE)!r})")
