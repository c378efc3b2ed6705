"""Credentials for tests of authorization, and a repository that waits for nothing."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.stages.registry import scripted
from tests.stages.registry.scripted import Image

from selfalign_stages.registry import documents
from selfalign_stages.registry.pushing import Repository

IMAGE = Image()
PASSWORD, IDENTITY = "hush-password", "hush-identity"
BASIC = "Basic " + base64.b64encode(f"u:{PASSWORD}".encode()).decode()


@pytest.fixture
def sign_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes config.json for a registry: by default a user with a password."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def write(host: str, **entry: str) -> None:
        values = entry or {"username": "u", "password": PASSWORD}
        (tmp_path / "config.json").write_text(json.dumps({"auths": {host: values}}))

    return write


def repository(server: scripted.Server, **settings: object) -> Repository:
    waits: list[float] = []
    return Repository(f"{server.host}/ida", plain_http=True, pause=waits.append, **settings)  # type: ignore[arg-type]


def upload(repository: Repository, folder: Path, data: bytes = b"x" * 300_000) -> None:
    path = folder / "upload"
    path.write_bytes(data)
    repository.put_blob(path, documents.Descriptor.model_validate(scripted.descriptor(data, scripted.LAYER)))
