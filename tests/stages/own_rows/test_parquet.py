"""Parquet files with rows of one's own: the same rows, digests and refusals as files of JSON lines."""

import io
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfalign_stages.contract.exits import BadInput, StageError
from selfalign_stages.contract.task import Leaf, StoreLocation
from selfalign_stages.own_rows import parquet, reading
from selfalign_stages.own_rows.opening import RowFile

FIELD = "spec.stages.redTeaming.promptSources[0]"
COLUMNS = {"text": ["one", "two"], "mark": [1, None], "more": [{"a": 1.5}, None]}


class Note(reading.Row):
    text: str
    mark: int | None = None


def written(folder: Path, columns: dict[str, Any] | pa.Table, **options: Any) -> RowFile:
    path = folder / "rows.parquet"
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path, **options)
    return at(path)


def at(path: Path) -> RowFile:
    return RowFile(
        name="promptSource:0", leaf=Leaf(uri=path.as_uri()), field=FIELD, store=StoreLocation(uri="file:///s")
    )


def refusal(file: RowFile) -> StageError:
    with pytest.raises(StageError) as raised:
        reading.read(file, Note)
    return raised.value


def test_rows_have_their_numbers_and_other_columns_are_not_read(tmp_path: Path) -> None:
    rows = reading.read(written(tmp_path, COLUMNS), Note)
    assert [(number, row.text, row.mark) for number, row in rows] == [(1, "one", 1), (2, "two", None)]


def test_the_digest_is_of_the_rows_and_not_of_compression_or_row_groups(tmp_path: Path) -> None:
    examined = reading.examine(written(tmp_path, COLUMNS), Note)
    assert reading.examine(written(tmp_path, COLUMNS, compression="zstd", row_group_size=1), Note) == examined
    assert reading.examine(written(tmp_path, COLUMNS | {"text": ["one", "three"]}), Note)[1] != examined[1]
    assert examined[0] == 2


def test_strings_under_a_dictionary_are_read(tmp_path: Path) -> None:
    table = pa.table({"text": pa.array(["a", "b", "a"]).dictionary_encode()})
    assert [row.text for _, row in reading.read(written(tmp_path, table), Note)] == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"text": pa.array([], pa.string())}, "has no row: write at least one"),
        ({"other": ["a"]}, "row 1: has no field 'text'"),
        ({"text": ["a", None]}, "row 2: text: Input should be a valid string (is 'None')"),
        ({"text": [1, 2]}, "row 1: text: Input should be a valid string (is '1')"),
        ({"text": [b"a"]}, "column 'text' holds binary, not text: convert it to a column of strings"),
        ({"text": [["a"]]}, "column 'text' holds list<"),
        ({"text": [0.5]}, "column 'text' holds double, not text"),
    ],
)
def test_a_wrong_row_or_column_is_refused_by_field_address_and_row(
    tmp_path: Path, columns: dict[str, Any], problem: str
) -> None:
    error = refusal(written(tmp_path, columns))
    assert isinstance(error, BadInput) and error.reason == "RowsMalformed"
    assert str(error).startswith(f"{FIELD}.uri 'file://") and problem in str(error)


def test_a_file_that_is_cut_off_or_another_format_is_refused(tmp_path: Path) -> None:
    whole = Path(written(tmp_path, COLUMNS).leaf.uri.removeprefix("file://")).read_bytes()
    for data in (whole[:-20], whole[:40], b"", b'{"text": "a"}\n', b"PAR1" * 5):
        (tmp_path / "cut.parquet").write_bytes(data)
        error = refusal(at(tmp_path / "cut.parquet"))
        assert error.reason == "RowsMalformed" and "is no Parquet file, or is damaged or cut off" in str(error)


def test_a_bit_that_flipped_in_a_page_is_noticed_by_its_checksum(tmp_path: Path) -> None:
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    file = written(tmp_path, {"text": ["abcdefgh"]}, write_page_checksum=True, **options)
    path = Path(file.leaf.uri.removeprefix("file://"))
    data = path.read_bytes()
    position = data.index(b"abcdefgh")
    path.write_bytes(data[:position] + b"A" + data[position + 1 :])
    assert "is no Parquet file, or is damaged" in str(refusal(file))


def test_more_text_than_is_read_is_refused_although_the_file_is_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "LARGEST", 100_000)
    file = written(tmp_path, {"text": ["x" * 1000] * 200}, compression="zstd")
    assert Path(file.leaf.uri.removeprefix("file://")).stat().st_size < 5_000
    assert "the most that is read: choose fewer rows" in str(refusal(file))


class Pipe(io.BytesIO):
    """A stream without positions, as an object's."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise OSError("has no positions")


def test_a_stream_without_positions_is_copied_first(tmp_path: Path) -> None:
    path = Path(written(tmp_path, COLUMNS).leaf.uri.removeprefix("file://"))
    stream = cast(BinaryIO, Pipe(path.read_bytes()))
    assert [row for _, row, _ in parquet.rows(stream, columns=["text"], scratch=tmp_path)] == [
        {"text": "one"},
        {"text": "two"},
    ]
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.parquet"]
