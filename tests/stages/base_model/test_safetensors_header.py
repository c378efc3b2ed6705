"""The header reader and the safetensors library agree on which files are complete."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open

from selfalign_stages.base_model import safetensors_header

ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "U8"]),
        "shape": st.lists(st.integers(0, 3), max_size=2),
        "data_offsets": st.lists(st.integers(0, 16), min_size=2, max_size=2),
    }
)


def encoded(header: Any, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def complete_file(tensors: list[tuple[str, list[int]]]) -> bytes:
    """A file of tensors that lie back to back."""
    header, position = {}, 0
    for number, (dtype, shape) in enumerate(tensors):
        size = {"F32": 4, "F16": 2, "U8": 1}[dtype]
        for length in shape:
            size *= length
        header[f"t{number}"] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + size]}
        position += size
    return encoded(header, bytes(position))


def reader_accepts(data: bytes) -> bool:
    try:
        safetensors_header.read_header(io.BytesIO(data), size=len(data))
    except ValueError:
        return False
    return True


def library_accepts(path: Path, data: bytes) -> bool:
    path.write_bytes(data)
    try:
        with safe_open(path, framework="np"):
            return True
    except SafetensorError:
        return False


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(header=st.dictionaries(st.sampled_from("abc"), ENTRIES, min_size=1), data=st.binary(max_size=16))
def test_any_header_is_accepted_if_and_only_if_the_library_accepts_it(tmp_path: Path, header: Any, data: bytes) -> None:
    file = encoded(header, data)
    assert reader_accepts(file) == library_accepts(tmp_path / "x.safetensors", file)


SHAPES = st.lists(st.tuples(st.sampled_from(["F32", "F16", "U8"]), st.lists(st.integers(0, 3), max_size=2)), min_size=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(tensors=SHAPES, cut=st.integers(-3, 3))
def test_a_complete_file_is_accepted_and_a_truncated_or_padded_one_is_not(
    tmp_path: Path, tensors: list[tuple[str, list[int]]], cut: int
) -> None:
    data = complete_file(tensors)
    file = data[:cut] if cut < 0 else data + bytes(cut)
    assert reader_accepts(file) == (cut == 0)
    assert reader_accepts(file) == library_accepts(tmp_path / "x.safetensors", file)


@settings(deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused_with_a_message(data: bytes) -> None:
    reader_accepts(data)  # raises ValueError at most


@pytest.mark.parametrize("text", [b"[" * 50_000, b"{\xff", b"null", b'{"a": 1}', b'{"a": {"dtype": 1}}'])
def test_a_header_that_does_not_describe_tensors_is_refused(text: bytes) -> None:
    assert not reader_accepts(struct.pack("<Q", len(text)) + text)
