"""Rows of one's own from files, S3 and a hub: their rows, digests, credentials and messages."""

import gzip
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import s3_server
from tests.stages.base_model import hub

from selfalign_stages.base_model import hub_client
from selfalign_stages.contract.exits import AccessDenied, BadInput, StageError
from selfalign_stages.contract.task import Leaf, StoreLocation
from selfalign_stages.own_rows import reading
from selfalign_stages.own_rows.opening import RowFile

TEXT = b'{"text": "one", "more": [1]}\n{"text": "two"}\n'
FIELD = "spec.stages.redTeaming.promptSources[1]"
DIGEST = f"sha256:{hashlib.sha256(TEXT).hexdigest()}"


class Note(reading.Row):
    text: str
    mark: int | None = None


def row_file(uri: str, *, revision: str | None = None, digest: str | None = None, store: str = "file:///s") -> RowFile:
    leaf = Leaf(uri=uri, revision=revision, digest=digest)
    return RowFile(name="promptSource:1", leaf=leaf, field=FIELD, store=StoreLocation(uri=store))


def local(folder: Path, data: bytes, name: str = "rows.jsonl", *, digest: str | None = None) -> RowFile:
    (folder / name).write_bytes(data)
    return row_file((folder / name).as_uri(), digest=digest)


def texts(file: RowFile) -> list[tuple[int, str]]:
    return [(number, note.text) for number, note in reading.read(file, Note)]


def refusal(file: RowFile) -> StageError:
    with pytest.raises(StageError) as raised:
        reading.read(file, Note)
    return raised.value


def test_rows_have_their_line_numbers_and_other_columns_are_ignored(tmp_path: Path) -> None:
    assert texts(local(tmp_path, TEXT)) == [(1, "one"), (2, "two")]


def test_a_file_is_examined_without_keeping_its_rows(tmp_path: Path) -> None:
    assert reading.examine(local(tmp_path, TEXT), Note) == (2, DIGEST)


def test_compression_changes_no_digest(tmp_path: Path) -> None:
    assert reading.examine(local(tmp_path, gzip.compress(TEXT), "rows.jsonl.gz"), Note) == (2, DIGEST)


def test_a_file_that_was_changed_since_preflight_is_refused(tmp_path: Path) -> None:
    assert texts(local(tmp_path, TEXT, digest=DIGEST)) == [(1, "one"), (2, "two")]
    error = refusal(local(tmp_path, TEXT + TEXT, digest=DIGEST))
    assert error.reason == "LeafChanged" and str(error).startswith(f"{FIELD}.uri 'file:///")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "has no row: write one JSON object per line"),
        (TEXT + b"\n", "line 3: is empty"),
        (b'{"text": "a"}\n["a"]\n', "line 2: is no JSON object"),
        (b'{"text": "a"}\n{"txt": "a"}\n', "line 2: has no field 'text'"),
        (b'{"text": 1}\n', "line 1: text: Input should be a valid string (is '1')"),
        (b'{"text": "a"\n', "line 1, column 13: not JSON"),
    ],
)
def test_a_wrong_row_is_refused_with_field_address_and_line(tmp_path: Path, data: bytes, problem: str) -> None:
    error = refusal(local(tmp_path, data))
    assert isinstance(error, BadInput) and error.reason == "RowsMalformed"
    assert str(error).startswith(f"{FIELD}.uri 'file://") and problem in str(error)


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    for name in ("pipe.jsonl", "folder.jsonl", "absent.jsonl", "x" * 300 + ".jsonl"):
        error = refusal(row_file((tmp_path / name).as_uri()))
        assert error.reason == "RowsMissing" and str(error).startswith(f"{FIELD}.uri '")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.Server]:
    with s3_server.serve(tmp_path_factory.mktemp("s3") / "root") as running:
        running.make_bucket("rows")
        yield running


@pytest.fixture
def bucket(server: s3_server.Server, monkeypatch: pytest.MonkeyPatch) -> s3_server.Server:
    """A bucket with rows whose keys are in variables of the file's own Secret alone."""
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=s3_server.ACCESS,
        aws_secret_access_key=s3_server.SECRET,
    )
    client.put_object(Bucket="rows", Key="a/rows.jsonl", Body=TEXT)
    secret = {"AWS_ACCESS_KEY_ID": s3_server.ACCESS, "AWS_SECRET_ACCESS_KEY": s3_server.SECRET}
    for name, value in {**secret, "AWS_ENDPOINT_URL": server.endpoint, "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"PROMPT_SOURCE_1_{name}", value)
    return server


def test_an_object_is_read_with_the_files_own_secret(bucket: s3_server.Server) -> None:
    assert texts(row_file("s3://rows/a/rows.jsonl")) == [(1, "one"), (2, "two")]


def test_an_object_that_is_missing_is_refused_by_field_and_address(bucket: s3_server.Server) -> None:
    error = refusal(row_file("s3://rows/a/other.jsonl"))
    assert isinstance(error, BadInput) and error.reason == "RowsMissing"
    assert str(error) == f"{FIELD}.uri 's3://rows/a/other.jsonl': there is no such object: correct bucket and key"


def test_a_wrong_key_names_the_secret_of_the_file(bucket: s3_server.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPT_SOURCE_1_AWS_SECRET_ACCESS_KEY", "wrong")
    error = refusal(row_file("s3://rows/a/rows.jsonl"))
    assert isinstance(error, AccessDenied)
    assert f"{FIELD}.secretRef" in str(error) and "spec.artifacts" not in str(error)


@pytest.fixture
def dataset(monkeypatch: pytest.MonkeyPatch) -> Iterator[hub.HubState]:
    with hub.serving({"data/rows.jsonl": TEXT, "README.md": b"# Rows"}) as state:
        state.dataset = True
        monkeypatch.setattr(hub_client, "PATIENCE_SECONDS", 0.0)
        monkeypatch.setenv("HF_ENDPOINT", state.address)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield state


HUB_FILE = "hf://datasets/harbour/lantern/data/rows.jsonl"


def test_a_data_set_is_read_at_its_commit(dataset: hub.HubState) -> None:
    assert texts(row_file(HUB_FILE, revision=hub.COMMIT)) == [(1, "one"), (2, "two")]


def test_a_token_comes_from_the_mounted_secret_of_the_file(
    dataset: hub.HubState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset.token = "right"
    error = refusal(row_file(HUB_FILE, revision=hub.COMMIT))
    assert f"set {FIELD}.secretRef to a Secret with HF_TOKEN" in str(error)
    monkeypatch.setattr("selfalign_stages.contract.credentials.FOLDER", tmp_path)
    (tmp_path / "prompt-source-1").mkdir()
    (tmp_path / "prompt-source-1" / "HF_TOKEN").write_text("right\n")
    assert texts(row_file(HUB_FILE, revision=hub.COMMIT)) == [(1, "one"), (2, "two")]


@pytest.mark.parametrize("revision", [None, "main"])
def test_a_data_set_without_a_commit_is_refused_at_the_field_of_the_revision(revision: str | None) -> None:
    error = refusal(row_file(HUB_FILE, revision=revision))
    assert error.reason == "RevisionNotPinned" and str(error).startswith(f"{FIELD}.revision ")


def test_a_file_that_a_data_set_lacks_is_refused_with_those_that_it_has(dataset: hub.HubState) -> None:
    error = refusal(row_file("hf://datasets/harbour/lantern/rows.jsonl", revision=hub.COMMIT))
    assert error.reason == "RowsMissing"
    assert "the repository has no file rows.jsonl; it has data/rows.jsonl" in str(error)


def test_a_model_repository_is_no_data_set(dataset: hub.HubState) -> None:
    error = refusal(row_file("hf://harbour/lantern/data/rows.jsonl", revision=hub.COMMIT))
    assert error.reason == "RowsMissing" and str(error).startswith(f"{FIELD}.uri 'hf://harbour/lantern': does not")
