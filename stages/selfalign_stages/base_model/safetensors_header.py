"""Reads a safetensors header and proves that its tensors fill the file: no gap, no overlap, no missing end.

The library opens a file only with an array library beside it, which the pods that import a model do without.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

LIMIT_BYTES = 100_000_000
"""The format's own limit of a header."""
LENGTH_BYTES = 8
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "U16": 16, "I16": 16, "F16": 16,
    "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64, "F4": 4,
}  # fmt: skip
POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Tensor:
    """A tensor's type, shape and bytes [start, end) after the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read(file: BinaryIO, *, size: int) -> dict[str, Tensor]:
    """Tensors of an open file of `size` bytes, whose data stays unread; ValueError tells what is wrong."""
    first = file.read(LENGTH_BYTES)
    length = int.from_bytes(first, "little")
    if POINTER.startswith(first) and first:
        raise ValueError("is a Git LFS pointer and not the weights: run git lfs pull")
    if size < LENGTH_BYTES or length > min(size - LENGTH_BYTES, LIMIT_BYTES):
        raise ValueError("is no whole safetensors file: it is too short for a header")
    tensors = parse(file.read(length))
    check(tensors, data_bytes=size - LENGTH_BYTES - length)
    return tensors


def parse(header: bytes) -> dict[str, Tensor]:
    """The header's tensors; ValueError if it is malformed."""
    try:
        loaded = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise ValueError("is no whole safetensors file: its header is not JSON") from error
    if not isinstance(loaded, dict):
        raise ValueError("is no whole safetensors file: its header is no JSON object")
    return {name: _tensor(name, entry) for name, entry in loaded.items() if name != "__metadata__"}


def check(tensors: Mapping[str, Tensor], *, data_bytes: int) -> None:
    """ValueError unless the tensors lie back to back and end with the file."""
    position = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if tensor.start != position:
            raise ValueError(
                f"is no whole safetensors file: tensor {name} starts at {tensor.start}, what is before it ends "
                f"at {position}"
            )
        bits = BITS.get(tensor.dtype)
        if bits is not None and (tensor.end - tensor.start) * 8 != prod(tensor.shape) * bits:
            raise ValueError(
                f"is malformed: tensor {name} takes {tensor.end - tensor.start} bytes, not what its shape needs"
            )
        position = tensor.end
    if position != data_bytes:
        raise ValueError(
            f"is no whole safetensors file: it holds {data_bytes} bytes of tensors and its header says {position}"
        )


def _tensor(name: str, entry: Any) -> Tensor:
    try:
        start, end = (int(value) for value in entry["data_offsets"])
        shape = tuple(int(value) for value in entry["shape"])
        tensor = Tensor(str(entry["dtype"]), shape, start, end)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"is malformed: tensor {name} has a malformed entry") from error
    if start < 0 or end < start or any(value < 0 for value in shape):
        raise ValueError(f"is malformed: tensor {name} has negative offsets or sizes")
    return tensor
