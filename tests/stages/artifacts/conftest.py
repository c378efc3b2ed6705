"""A file store and a real S3 server behind one fixture, so that one table of behaviours runs against both."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests import fault_proxy, faults, s3_server

from selfalign_stages.artifacts import s3_client, s3_reading, s3_retries, s3_uploads
from selfalign_stages.artifacts.open_store import open_store
from selfalign_stages.artifacts.s3_store import S3Store
from selfalign_stages.contract.task import StoreLocation
from selfalign_stages.step.store import Store


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.Server]:
    """versitygw, one per test run."""
    with s3_server.serve(tmp_path_factory.mktemp("s3") / "root") as server:
        server.make_bucket("tests")
        yield server


@pytest.fixture
def s3_location(s3: s3_server.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreLocation:
    """A prefix of its own in the server's bucket, with credentials in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.SECRET)
    return StoreLocation(
        uri=f"s3://tests/{tmp_path.name}", endpoint=s3.endpoint, region="us-east-1", addressing_style="path"
    )


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store of each kind."""
    if request.param == "file":
        return open_store(StoreLocation(uri=(tmp_path / "store").as_uri()))
    location: StoreLocation = request.getfixturevalue("s3_location")
    return open_store(location)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 clients that try as often as usual, without pauses, and wait half a second for an answer."""
    monkeypatch.setattr(s3_client, "READ_TIMEOUT", 0.5)
    monkeypatch.setattr(s3_retries, "LONGEST_PAUSE", 0)
    monkeypatch.setattr(s3_retries, "LONGEST_THROTTLED_PAUSE", 0)
    monkeypatch.setattr(s3_reading, "PAUSE", 0)
    monkeypatch.setattr(s3_uploads, "CONFLICT_PAUSE", 0)


Through = Callable[[faults.Rule], tuple[S3Store, fault_proxy.Proxy]]


@pytest.fixture
def through(s3: s3_server.Server, s3_location: StoreLocation, hasty: None) -> Iterator[Through]:
    """Opens the store of `s3_location` through a proxy with a rule; a hasty client."""
    with ExitStack() as proxies:

        def connect(rule: faults.Rule) -> tuple[S3Store, fault_proxy.Proxy]:
            proxy = proxies.enter_context(fault_proxy.serve(s3.endpoint, rule))
            return S3Store(s3_location.model_copy(update={"endpoint": proxy.endpoint})), proxy

        yield connect
