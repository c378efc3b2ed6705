"""A file store and a real S3 server behind one fixture, so that one table of behaviours runs against both."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import s3_server

from selfalign_stages.artifacts.open_store import open_store
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
