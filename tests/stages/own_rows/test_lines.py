"""Files of JSON lines as they come: compressed, cut off, of another format, or without end."""

import gzip
import io

import pytest
import zstandard

from selfalign_stages.own_rows import lines

TEXT = b'{"a": 1}\n{"a": 2}\n'


def numbered(data: bytes, name: str = "rows.jsonl") -> list[tuple[int, bytes]]:
    return list(lines.numbered(lines.blocks(io.BytesIO(data), name=name)))


def refusal(data: bytes, name: str = "rows.jsonl") -> str:
    with pytest.raises(ValueError, match=".") as raised:
        numbered(data, name)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("rows.jsonl", TEXT),
        ("rows.jsonl", TEXT.removesuffix(b"\n")),
        ("rows.jsonl", b"\xef\xbb\xbf" + TEXT.replace(b"\n", b"\r\n")),
        ("rows.jsonl.gz", gzip.compress(TEXT)),
        ("rows.jsonl.zst", zstandard.compress(TEXT)),
        ("rows.jsonl.zst", zstandard.compress(TEXT[:9]) + zstandard.compress(TEXT[9:])),
    ],
)
def test_lines_are_the_same_whatever_the_file_is_packed_in(name: str, data: bytes) -> None:
    assert numbered(data, name) == [(1, b'{"a": 1}'), (2, b'{"a": 2}')]


def test_lines_over_many_blocks_stay_whole() -> None:
    rows = [b'{"text": "%s"}' % (b"x" * 40_000) for _ in range(100)]
    assert [line for _, line in numbered(b"\n".join(rows))] == rows
    assert [line for _, line in numbered(zstandard.compress(b"\n".join(rows)), "rows.jsonl.zst")] == rows


@pytest.mark.parametrize(("data", "number"), [(b"\n", 1), (TEXT + b" \n", 3), (b'{"a": 1}\n\n{"a": 2}', 2)])
def test_an_empty_line_is_refused_with_its_number(data: bytes, number: int) -> None:
    assert refusal(data) == f"line {number}: is empty: remove it, or write the row that is missing"


def test_a_file_that_is_one_line_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(b'{"a": 1}\n' + b"x" * (3 << 20)).startswith("line 2: has more than 1.0 MiB")


@pytest.mark.parametrize(
    ("name", "packed", "problem"),
    [("rows.jsonl.gz", gzip.compress(TEXT), "gzip"), ("rows.jsonl.zst", zstandard.compress(TEXT * 50), "zstd")],
)
def test_what_is_cut_off_or_not_compressed_is_refused(name: str, packed: bytes, problem: str) -> None:
    for data in (packed[:-3], TEXT):
        assert problem in refusal(data, name)


def test_a_small_file_that_decompresses_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LARGEST", 5 << 20)
    line = b'{"text": "' + b" " * 100_000 + b'"}\n'
    for name, packed in {
        "a.jsonl.gz": gzip.compress(line * 200),
        "a.jsonl.zst": zstandard.compress(line * 200),
    }.items():
        assert refusal(packed, name) == "has more than 5.0 MiB of text, the most that is read: choose fewer rows"


@pytest.mark.parametrize("line", [b"{", b'{"a": 1, "a": 2}', b"\xff", b'{"a": NaN}', b'{"a": "\\ud800"}'])
def test_a_line_that_is_no_json_is_refused_with_its_number(line: bytes) -> None:
    with pytest.raises(ValueError, match="^line 7"):
        lines.parse(line, number=7)
