"""Splits a file of JSON lines, plain or compressed, into numbered lines, in bounded memory. Pure but for the stream.

The file is someone else's: it may be cut off, be another format under this name, decompress to more than any disk has,
or be one line without end. Each of those is a ValueError whose message goes after the file's name.
"""

import gzip
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import zstandard

from selfalign_stages.contract import strict_json
from selfalign_stages.contract.file_errors import size_text

LARGEST = 1 << 30
"""Bytes of text that are read: five million prompts of usual length. Rows are kept in memory."""
LONGEST_LINE = 1 << 20
"""Bytes of a line. No context window takes a prompt of that length."""
BLOCK = 1 << 20
"""Bytes per read of a plain file, or of what gzip decompresses."""
COMPRESSED_BLOCK = 4096
"""Bytes per read of a zstd file. One byte of it may stand for 32 KiB, and a block is decompressed at once."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def blocks(stream: BinaryIO, *, name: str) -> Iterator[bytes]:
    """Yields the text of a file in blocks, decompressed by the end of its name.

    Args:
        stream: the file.
        name: ends with .gz, .zst, or neither.

    Raises:
        ValueError: it is not compressed in this way, is cut off, or has more than LARGEST bytes of text.
    """
    total = 0
    for block in _decompressed(stream, name):
        total += len(block)
        if total > LARGEST:
            raise ValueError(f"has more than {size_text(LARGEST)} of text, the most that is read: choose fewer rows")
        yield block


def numbered(text: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yields the lines of a text with their numbers, from 1, without line ends and byte order mark.

    Raises:
        ValueError: a line is empty or too long. Empty lines are refused, because some editors and transfers leave one
            where a row was lost.
    """
    rest, number = b"", 0
    for block in text:
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            number += 1
            yield number, _checked(line, number)
        # Before the end of the line has come: a file without one must not fill the memory.
        if len(rest) > LONGEST_LINE:
            raise _too_long(number + 1)
    if rest:
        yield number + 1, _checked(rest, number + 1)


def parse(line: bytes, *, number: int) -> Any:
    """Parses a line.

    Raises:
        ValueError: it is not JSON; the message begins with its number.
    """
    try:
        return strict_json.loads(line, line=number)
    except ValueError as error:
        message = str(error)
        raise ValueError(message if message.startswith("line ") else f"line {number}: {message}") from error


def _checked(line: bytes, number: int) -> bytes:
    if number == 1:
        line = line.removeprefix(BYTE_ORDER_MARK)
    if not line.strip():
        raise ValueError(f"line {number}: is empty: remove it, or write the row that is missing")
    if len(line) > LONGEST_LINE:
        raise _too_long(number)
    return line.removesuffix(b"\r")


def _too_long(number: int) -> ValueError:
    return ValueError(f"line {number}: has more than {size_text(LONGEST_LINE)}: write one JSON object per line")


def _decompressed(stream: BinaryIO, name: str) -> Iterator[bytes]:
    if name.endswith(".gz"):
        try:
            with gzip.GzipFile(fileobj=stream) as text:
                while block := text.read(BLOCK):
                    yield block
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"is not compressed by gzip, or cut off ({error}): compress it again") from error
    elif name.endswith(".zst"):
        yield from _zstd(stream)
    else:
        while block := stream.read(BLOCK):
            yield block


def _zstd(stream: BinaryIO) -> Iterator[bytes]:
    """Not by the library's stream reader, which takes the end of a file that was cut off for the end of the text."""
    decompressor = zstandard.ZstdDecompressor()
    frame = decompressor.decompressobj()
    try:
        while block := stream.read(COMPRESSED_BLOCK):
            while block:
                if frame.eof:  # several files may have been joined to one
                    frame = decompressor.decompressobj()
                yield frame.decompress(block)
                block = frame.unused_data if frame.eof else b""
    except zstandard.ZstdError as error:
        raise ValueError(f"is not compressed by zstd ({error}): compress it again") from error
    if not frame.eof:
        raise ValueError("is cut off, or empty: compress it by zstd again")
