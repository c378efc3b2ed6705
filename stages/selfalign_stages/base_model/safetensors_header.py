"""Verifies by its header that a safetensors file is complete: its tensors fill it without gap, overlap or missing end.

A download that was cut off, or a Git LFS pointer in place of the weights, would otherwise fail only on the GPU, when
the engine loads the model. The `safetensors` library accepts and rejects the same files (the tests compare both) but
is therefore a dependency of the tests alone: its `safe_open` imports the array library whose tensors it would return,
numpy at least, which this step otherwise runs without, and its errors name no remedy: for a Git LFS pointer it reports
"header too large".

In three ways this reader is stricter. Names may occur once, numbers have to be JSON integers, and the header may have
8 MiB instead of 100 MB, since parsed it takes thirty times its size: 60,000 tensors in one file, where the largest
mixtures of experts have 36,000 in a hundred.

Format: 8 bytes little-endian header length, a JSON header of {name: {dtype, shape, data_offsets}}, the data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO, TypeGuard

from selfalign_stages.base_model.quoting import shown
from selfalign_stages.contract import strict_json

MAX_HEADER_BYTES = 8 << 20
"""It bounds what is read into memory when the length is garbage."""
MAX_INTEGER = (1 << 63) - 1
"""Offsets and sizes are 64-bit; a file that needs more cannot exist."""
MAX_DIMENSIONS = 32
LENGTH_BYTES = 8
DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
    "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
"""Bits per element, of all dtypes that the library reads."""
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
    if size < LENGTH_BYTES or length > size - LENGTH_BYTES:
        raise ValueError("is not a complete safetensors file: it is too short for its header; download it again")
    if length > MAX_HEADER_BYTES:
        raise ValueError(
            f"has a header of {length >> 20} MiB, and at most {MAX_HEADER_BYTES >> 20} are read; save the model anew "
            "with save_pretrained, which writes several shards"
        )
    tensors = parse_header(file.read(length))
    check_layout(tensors, data_bytes=size - LENGTH_BYTES - length)
    return tensors


def parse_header(header: bytes) -> dict[str, TensorInfo]:
    """Parses the JSON header.

    Raises:
        ValueError: it is malformed.
    """
    try:
        # The format begins with a brace, so that a byte order mark, which strict_json skips, is none of it.
        if not header.startswith(b"{"):
            raise ValueError("does not begin with {")
        loaded = strict_json.loads(header)
    except ValueError as error:
        raise ValueError(f"is not a complete safetensors file: its header is not JSON: {shown(str(error))}") from error
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
                f"is not a complete safetensors file: tensor {shown(name)} starts at byte {tensor.start}, the one "
                f"before it ends at {position}"
            )
        # In bits, since F4 packs two elements into a byte.
        if (tensor.end - tensor.start) * 8 != prod(tensor.shape) * DTYPE_BITS[tensor.dtype]:
            raise ValueError(
                f"is malformed: tensor {shown(name)} has {tensor.end - tensor.start} bytes, which does not fit its "
                f"shape {shown(list(tensor.shape))} of {shown(tensor.dtype)}"
            )
        position = tensor.end
    if position != data_bytes:
        raise ValueError(
            f"is not a complete safetensors file: it has {data_bytes} bytes of tensors, its header describes "
            f"{position}; download it again"
        )


def _tensor_info(name: str, entry: Any) -> TensorInfo:
    if not isinstance(entry, dict):
        raise ValueError(f"is malformed: tensor {shown(name)} is described by {shown(entry)}")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise ValueError(f"is malformed: tensor {shown(name)} has dtype {shown(dtype)}")
    if not _are_integers(shape) or len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"is malformed: tensor {shown(name)} has shape {shown(shape)}")
    if not _are_integers(offsets) or len(offsets) != 2 or offsets[1] < offsets[0]:
        raise ValueError(f"is malformed: tensor {shown(name)} has data_offsets {shown(offsets)}")
    return TensorInfo(dtype, tuple(shape), *offsets)


def _are_integers(values: Any) -> TypeGuard[list[int]]:
    # type(), because JSON's true is an int for isinstance.
    return isinstance(values, list) and all(type(value) is int and 0 <= value <= MAX_INTEGER for value in values)
