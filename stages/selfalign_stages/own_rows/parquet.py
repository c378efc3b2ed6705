"""Reads the rows of a Parquet file, in bounded memory. Pure but for the stream.

The file is someone else's: it may be cut off, be another format under this name, have columns of other types, or hold
pages that decompress to more than any disk has. Each of those is a ValueError whose message follows the file's name.
"""

import json
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from selfalign_stages.contract.file_errors import size_text
from selfalign_stages.own_rows.lines import BLOCK, LARGEST, LONGEST_LINE

BATCH = 256
"""Rows that are decoded at once."""


def rows(
    stream: BinaryIO, *, columns: Collection[str], scratch: Path | None = None
) -> Iterator[tuple[int, dict[str, Any], bytes]]:
    """Yields rows with their numbers, from 1, and the text that a digest is taken of.

    Args:
        stream: the file.
        columns: names of the columns that are read; those that the file lacks are left out of its rows.
        scratch: folder for a copy of a stream that has no positions, as an object's; None: the system's.

    Returns:
        Number, row by column, and the row as a line of JSON with sorted names: the same for the same rows, whatever the
        file's compression and row groups.

    Raises:
        ValueError: it is no Parquet file, is damaged, a column has another type, or there is more text than is read.
    """
    with _with_positions(stream, scratch) as file, _readable():
        # The footer of a file that was made to harm may claim any size; the limits are those of the text.
        parquet = pq.ParquetFile(
            file,
            buffer_size=BLOCK,
            pre_buffer=False,
            thrift_string_size_limit=LONGEST_LINE,
            thrift_container_size_limit=LONGEST_LINE,
            page_checksum_verification=True,
        )
        schema = parquet.schema_arrow
        wanted = sorted(set(columns) & set(schema.names))
        for name in wanted:
            _require_json_type(name, schema.field(name).type)
        number = total = 0
        for batch in parquet.iter_batches(batch_size=BATCH, columns=wanted, use_threads=False):
            for row in batch.to_pylist():
                number += 1
                text = json.dumps(row, sort_keys=True, ensure_ascii=False).encode() + b"\n"
                total += len(text)
                if len(text) > LONGEST_LINE:
                    raise ValueError(f"row {number}: has more than {size_text(LONGEST_LINE)}: shorten or remove it")
                if total > LARGEST:
                    raise ValueError(
                        f"has more than {size_text(LARGEST)} of text, the most that is read: choose fewer rows"
                    )
                yield number, row, text


def _require_json_type(name: str, kind: pa.DataType) -> None:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    string = pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value)
    # Numbers are read, so that the row is refused by the same words as one of a file of JSON lines.
    if not (string or pa.types.is_null(value) or pa.types.is_integer(value) or pa.types.is_boolean(value)):
        raise ValueError(f"column {name!r} holds {kind}, not text: convert it to a column of strings")


@contextmanager
def _with_positions(stream: BinaryIO, scratch: Path | None) -> Iterator[BinaryIO]:
    """Parquet is read from its end: a stream without positions is copied first."""
    if stream.seekable():
        yield stream
        return
    with tempfile.TemporaryFile(prefix="selfalign-", dir=scratch) as copy:
        size = 0
        while block := stream.read(BLOCK):
            size += len(block)
            if size > LARGEST:
                raise ValueError(f"has more than {size_text(LARGEST)}, the most that is read: choose fewer rows")
            copy.write(block)
        copy.seek(0)
        yield copy


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None):  # of the copy's disk; pyarrow's own errors have no number
            raise
        text = str(error).partition("\n")[0].rstrip(".")
        raise ValueError(f"is no Parquet file, or is damaged or cut off ({text}): write it again") from error
