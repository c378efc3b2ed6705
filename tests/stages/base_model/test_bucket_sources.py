"""s3:// base models, read from a real S3 server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import s3_server
from tests.stages.base_model import contexts, folders

from selfalign_stages.artifacts import reading
from selfalign_stages.base_model import importing, inspection, open_source
from selfalign_stages.contract.exits import AccessDenied, BadInput, Interrupted, StageError
from selfalign_stages.contract.task import Leaf, StoreLocation

FILES = folders.contents(shards=2) | {"pytorch_model.bin": folders.CANARY}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.Server]:
    with s3_server.serve(tmp_path_factory.mktemp("s3") / "root") as running:
        running.make_bucket("models")
        yield running


@pytest.fixture
def leaf(server: s3_server.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Leaf:
    """A base model below a prefix of its own, and the environment with its credentials and endpoint."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    base = Leaf(uri=f"s3://models/{tmp_path.name}")
    put(server, base, FILES)
    return base


def put(server: s3_server.Server, leaf: Leaf, files: dict[str, bytes]) -> None:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=s3_server.ACCESS,
        aws_secret_access_key=s3_server.SECRET,
    )
    for name, data in files.items():
        client.put_object(Bucket="models", Key=f"{leaf.uri.removeprefix('s3://models/')}/{name}", Body=data)


def test_an_import_copies_the_models_files_alone(leaf: Leaf, tmp_path: Path) -> None:
    pinned = leaf.model_copy(update={"digest": contexts.digest(leaf, tmp_path)})
    context = contexts.context(pinned, tmp_path)
    manifest = importing.run(context)
    expected = folders.contents(shards=2)
    assert {entry.name for entry in manifest.files} == {*expected, "source.json"}
    assert all(reading.read_bytes(context.store, manifest, name) == data for name, data in expected.items())


def test_a_model_in_the_stores_own_service_needs_no_endpoint_in_the_environment(
    leaf: Leaf, server: s3_server.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = contexts.digest(leaf, tmp_path)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    store = StoreLocation(uri="s3://artifacts/x", endpoint=server.endpoint, region="us-east-1", addressing_style="path")
    assert inspection.inspect(open_source.open_source(leaf, store=store), leaf).digest == digest


def test_an_object_that_was_replaced_since_preflight_is_refused(
    leaf: Leaf, server: s3_server.Server, tmp_path: Path
) -> None:
    pinned = leaf.model_copy(update={"digest": contexts.digest(leaf, tmp_path)})
    shard = "model-00001-of-00002.safetensors"
    put(server, leaf, {shard: FILES[shard][:-1] + b"\1"})
    with pytest.raises(BadInput) as raised:
        importing.run(contexts.context(pinned, tmp_path))
    assert raised.value.reason == "LeafChanged"


def test_a_stopped_import_resumes_with_the_missing_files(leaf: Leaf, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        importing.run(contexts.context(leaf, tmp_path, stop=contexts.stop_after(4)))
    published = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*.*")}
    manifest = importing.run(contexts.context(leaf, tmp_path))
    assert len(published) == 4
    assert {path: path.stat().st_mtime_ns for path in published} == published
    assert len(manifest.files) == len(FILES)


def refusal(leaf: Leaf, tmp_path: Path) -> StageError:
    """The error of a base model that cannot be read; it names the base model's fields and not the store's."""
    with pytest.raises(StageError) as raised:
        contexts.digest(leaf, tmp_path)
    assert "spec.baseModel" in str(raised.value) or leaf.uri in str(raised.value)
    assert "spec.artifacts" not in str(raised.value)
    return raised.value


def test_a_missing_bucket_and_an_empty_prefix_have_different_reasons(leaf: Leaf, tmp_path: Path) -> None:
    assert refusal(Leaf(uri="s3://no-such-bucket/x"), tmp_path).reason == "NoSuchBucket"
    assert refusal(Leaf(uri="s3://models/nothing-here"), tmp_path).reason == "BaseModelMissing"


def test_wrong_credentials_name_the_base_models_secret(
    leaf: Leaf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    error = refusal(leaf, tmp_path)
    assert isinstance(error, AccessDenied)
    assert "spec.baseModel.secretRef" in str(error)


def test_base_models_may_have_credentials_of_their_own(leaf: Leaf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the artifact store")
    store = StoreLocation(uri="s3://artifacts")
    with pytest.raises(AccessDenied):
        open_source.open_source(leaf, store=store.model_copy(update={"uri": "file:///store"})).list_files()
    monkeypatch.setenv("BASE_MODEL_AWS_ACCESS_KEY_ID", s3_server.ACCESS)
    monkeypatch.setenv("BASE_MODEL_AWS_SECRET_ACCESS_KEY", s3_server.SECRET)
    assert {file.path for file in open_source.open_source(leaf, store=store).list_files()} == set(FILES)
