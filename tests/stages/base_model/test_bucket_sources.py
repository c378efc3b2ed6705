"""s3:// base models, read from a real S3 server."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from tests import fault_proxy, faults, s3_server
from tests.scale import scaled
from tests.stages.base_model import contexts, folders

from selfalign_stages.artifacts import reading
from selfalign_stages.base_model import identity, importing, inspection, open_source
from selfalign_stages.contract.exits import AccessDenied, BadInput, Interrupted, StageError, Unavailable
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


def test_the_start_of_a_shard_is_read_without_the_rest(leaf: Leaf) -> None:
    source = open_source.open_source(leaf, store=StoreLocation(uri="s3://models/artifacts"))
    name, data = next((name, data) for name, data in FILES.items() if name.endswith(".safetensors"))
    assert source.start(name, 12) == data[:12]


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
    published = {path: path.stat().st_mtime_ns for path in artifact(tmp_path).glob("*.*")}
    manifest = importing.run(contexts.context(leaf, tmp_path))
    assert len(published) == 4
    assert {path: path.stat().st_mtime_ns for path in published} == published
    assert len(manifest.files) == len(FILES)


def artifact(tmp_path: Path) -> Path:
    """The artifact's folder in a file store."""
    return next((tmp_path / "store" / "cas" / "import").iterdir())


def test_an_import_leaves_nothing_but_the_artifact_behind(leaf: Leaf, tmp_path: Path) -> None:
    manifest = importing.run(contexts.context(leaf, tmp_path))
    assert {path.name for path in artifact(tmp_path).iterdir() if path.is_file()} == {
        "manifest.json",
        *(entry.name for entry in manifest.files),
    }
    assert not [path for path in artifact(tmp_path).rglob("*/*") if path.is_file()]


def test_an_import_is_known_by_the_etags_that_it_recorded(leaf: Leaf, tmp_path: Path) -> None:
    digest = contexts.digest(leaf, tmp_path)
    context = contexts.context(leaf, tmp_path)
    manifest = importing.run(context)
    assert identity.matches(context.store, manifest, digest)
    assert not identity.matches(context.store, manifest, "sha256:" + "0" * 64)
    planted = [
        entry.model_copy(update={"sha256": "0" * 64, "size": 1}) if entry.name == SHARD else entry
        for entry in manifest.files
    ]
    other = manifest.model_copy(update={"files": tuple(planted)})
    assert not identity.matches(context.store, other, digest)


@pytest.mark.parametrize("damage", [b"", bytes(len(FILES["config.json"]))])
def test_a_published_file_that_was_damaged_is_copied_anew(leaf: Leaf, tmp_path: Path, damage: bytes) -> None:
    with pytest.raises(Interrupted):
        importing.run(contexts.context(leaf, tmp_path, stop=contexts.stop_after(2)))
    (artifact(tmp_path) / "config.json").write_bytes(damage)
    context = contexts.context(leaf, tmp_path)
    assert reading.read_bytes(context.store, importing.run(context), "config.json") == FILES["config.json"]


@pytest.mark.parametrize("record", [None, b"", b"[]", b"{}", b'{"contentId": 1}'])
def test_a_published_file_without_a_record_of_its_bytes_is_copied_anew(
    leaf: Leaf, tmp_path: Path, record: bytes | None
) -> None:
    with pytest.raises(Interrupted):
        importing.run(contexts.context(leaf, tmp_path, stop=contexts.stop_after(2)))
    (artifact(tmp_path) / "config.json").write_bytes(bytes(len(FILES["config.json"])))
    path = artifact(tmp_path) / "verified" / "config.json"
    path.unlink() if record is None else path.write_bytes(record)
    context = contexts.context(leaf, tmp_path)
    assert reading.read_bytes(context.store, importing.run(context), "config.json") == FILES["config.json"]


SHARD = "model-00001-of-00002.safetensors"
FAULTS: dict[str, faults.Fault] = {
    "a flipped bit": faults.Wrong(at=9),
    "another length": faults.Shortened(to=20),
    "a page": faults.Altered(lambda body: b"<html>log in</html>"),
}


def through(
    server: s3_server.Server, monkeypatch: pytest.MonkeyPatch, rule: faults.Rule
) -> AbstractContextManager[fault_proxy.Proxy]:
    """A proxy before the server that faults requests, which the base model is read through."""

    @contextmanager
    def serving() -> Iterator[fault_proxy.Proxy]:
        with fault_proxy.serve(server.endpoint, rule) as proxy:
            monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
            yield proxy

    return serving()


NAMES = scaled([SHARD], ["config.json", "tokenizer.json", "LICENSE", folders.INDEX, SHARD])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_an_object_that_arrives_damaged_once_is_fetched_again(
    leaf: Leaf,
    server: s3_server.Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    fault: faults.Fault,
) -> None:
    with through(server, monkeypatch, faults.in_turn("GET", f"/{name}", fault)):
        context = contexts.context(leaf, tmp_path)
        assert reading.read_bytes(context.store, importing.run(context), name) == FILES[name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_an_object_that_arrives_damaged_each_time_is_never_published(
    leaf: Leaf,
    server: s3_server.Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    fault: faults.Fault,
) -> None:
    with (
        through(server, monkeypatch, faults.always("GET", f"/{name}", fault)),
        pytest.raises(Unavailable, match=f"spec.baseModel.uri: {name}"),
    ):
        importing.run(contexts.context(leaf, tmp_path))
    assert not list((tmp_path / "store").rglob("manifest.json"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    importing.run(contexts.context(leaf, tmp_path))


def with_other_etags(body: bytes) -> bytes:
    """A listing as a server gives it whose ETags are no MD5s."""
    return re.sub(rb"[0-9a-f]{32}", lambda found: hashlib.md5(found.group()).hexdigest().encode(), body)


def test_a_server_whose_etags_are_no_md5_is_read_all_the_same(
    leaf: Leaf, server: s3_server.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with through(server, monkeypatch, faults.always("GET", "list-type=2", faults.Altered(with_other_etags))):
        pinned = leaf.model_copy(update={"digest": contexts.digest(leaf, tmp_path)})
        importing.run(contexts.context(pinned, tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    assert pinned.digest != contexts.digest(leaf, tmp_path)


def test_an_object_that_is_removed_meanwhile_is_named(
    leaf: Leaf, server: s3_server.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = faults.s3_error(404, "NoSuchKey")
    with through(server, monkeypatch, faults.always("GET", f"/{SHARD}", gone)), pytest.raises(BadInput, match=SHARD):
        importing.run(contexts.context(leaf, tmp_path))


@pytest.mark.parametrize("key", ["../config.json", "a\\b", "LICENSE\u202e"])
def test_a_key_that_would_leave_its_folder_is_refused(
    leaf: Leaf, server: s3_server.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:

    def planted(body: bytes) -> bytes:
        return body.replace(b"/README.md<", b"/" + key.encode() + b"<")

    with (
        through(server, monkeypatch, faults.always("GET", "list-type=2", faults.Altered(planted))),
        pytest.raises(BadInput, match="leaves the model's folder") as raised,
    ):
        importing.run(contexts.context(leaf, tmp_path))
    assert str(raised.value).isprintable()


def test_credentials_come_from_the_mounted_secret_first(
    leaf: Leaf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BASE_MODEL_AWS_ACCESS_KEY_ID", s3_server.ACCESS)
    monkeypatch.setenv("BASE_MODEL_AWS_SECRET_ACCESS_KEY", "of yesterday")
    assert isinstance(refusal(leaf, tmp_path), AccessDenied)
    monkeypatch.setattr("selfalign_stages.contract.credentials.FOLDER", tmp_path / "credentials")
    secret = {"AWS_ACCESS_KEY_ID": s3_server.ACCESS, "AWS_SECRET_ACCESS_KEY": s3_server.SECRET}
    folders.write(
        tmp_path / "credentials" / "base-model", {key: f"{value}\n".encode() for key, value in secret.items()}
    )
    assert contexts.digest(leaf, tmp_path)


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
