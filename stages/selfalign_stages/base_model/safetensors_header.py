"""Verifies by its header that a safetensors file is complete: its tensors fill it without gap, overlap or missing end.

A download that was cut off, or a Git LFS pointer in place of the weights, would otherwise fail only on the GPU, when
the engine loads the model. The `safetensors` library accepts and rejects the same files (the tests compare both) but
is therefore a dependency of the tests alone: its `safe_open` imports the array library whose tensors it would return,
numpy at least, which this step otherwise runs without, and its errors name no remedy: for a Git LFS pointer it reports
"header too large".

Format: 8 bytes little-endian header length, a JSON header of {name: {dtype, shape, data_offsets}}, the data.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

MAX_HEADER_BYTES = 100_000_000
"""The format's own limit. It bounds what is read into memory when the length is garbage."""
LENGTH_BYTES = 8
DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "U16": 16, "I16": 16, "F16": 16,
    "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64, "F4": 4,
}  # fmt: skip
"""Bits per element. Tensors of a dtype that is not listed pass without a check of their size."""
LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class TensorInfo:
    """The header's entry of one tensor, whose data is the bytes [start, end) after the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(file: BinaryIO, *, size: int) -> dict[str, TensorInfo]:
    """Reads and verifies the header of a file; the tensors' data stays unread.

    Args:
        file: opened at its first byte.
        size: bytes of the whole file.

    Returns:
        The tensors by name.

    Raises:
        ValueError: the file is incomplete or malformed; the message goes after the file's name.
    """
    first = file.read(LENGTH_BYTES)
    length = int.from_bytes(first, "little")
    # An empty file is a prefix of anything; it falls through to "too short".
    if LFS_POINTER.startswith(first) and first:
        raise ValueError("is a Git LFS pointer and not the weights: run git lfs pull")
    if size < LENGTH_BYTES or length > min(size - LENGTH_BYTES, MAX_HEADER_BYTES):
        raise ValueError("is not a complete safetensors file: it is too short for its header; download it again")
    tensors = parse_header(file.read(length))
    check_layout(tensors, data_bytes=size - LENGTH_BYTES - length)
    return tensors


def parse_header(header: bytes) -> dict[str, TensorInfo]:
    """Parses the JSON header.

    Raises:
        ValueError: it is malformed.
    """
    try:
        loaded = json.loads(header)
    except (ValueError, RecursionError) as error:  # a header of nested brackets exceeds the parser's recursion limit
        raise ValueError("is not a complete safetensors file: its header is not JSON") from error
    if not isinstance(loaded, dict):
        raise ValueError("is not a complete safetensors file: its header is not a JSON object")
    return {name: _tensor_info(name, entry) for name, entry in loaded.items() if name != "__metadata__"}


def check_layout(tensors: Mapping[str, TensorInfo], *, data_bytes: int) -> None:
    """Verifies that the tensors lie back to back and end where the file ends.

    Args:
        tensors: the parsed header.
        data_bytes: bytes after the header.

    Raises:
        ValueError: there is a gap, an overlap, a size that does not follow from dtype and shape, or another end.
    """
    position = 0
    # Sorted by end, too: empty tensors share their start with the next one, and come first.
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if tensor.start != position:
            raise ValueError(
                f"is not a complete safetensors file: tensor {name} starts at byte {tensor.start}, the one before it "
                f"ends at {position}"
            )
        bits = DTYPE_BITS.get(tensor.dtype)
        # In bits, since F4 packs two elements into a byte.
        if bits is not None and (tensor.end - tensor.start) * 8 != prod(tensor.shape) * bits:
            raise ValueError(
                f"is malformed: tensor {name} has {tensor.end - tensor.start} bytes, which does not fit its shape "
                f"{list(tensor.shape)} of {tensor.dtype}"
            )
        position = tensor.end
    if position != data_bytes:
        raise ValueError(
            f"is not a complete safetensors file: it has {data_bytes} bytes of tensors, its header describes "
            f"{position}; download it again"
        )


def _tensor_info(name: str, entry: Any) -> TensorInfo:
    try:
        start, end = (int(value) for value in entry["data_offsets"])
        shape = tuple(int(value) for value in entry["shape"])
        tensor = TensorInfo(str(entry["dtype"]), shape, start, end)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"is malformed: tensor {name} has a malformed entry") from error
    if start < 0 or end < start or any(value < 0 for value in shape):
        raise ValueError(f"is malformed: tensor {name} has negative offsets or sizes")
    return tensor
