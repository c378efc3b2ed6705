"""Preflight checks access to the registry, and the image to build on, before any work is done."""

from pathlib import Path

import pytest
from tests import registry_server
from tests.stages.preflight import asking
from tests.stages.registry import scripted

from selfalign_stages.contract.exits import Unavailable
from selfalign_stages.preflight.check import check


def test_a_registry_that_permits_pushing_is_no_problem(tmp_path: Path) -> None:
    with registry_server.serve(tmp_path / "registry" / "data") as server:
        result = check(asking.task(tmp_path, image={"repository": f"{server.host}/ida", "plainHttp": True}))
    assert result.problems == ()


def test_denied_access_is_reported_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with registry_server.serve(tmp_path / "registry" / "data", password=True) as server:
        result = check(asking.task(tmp_path, image={"repository": f"{server.host}/ida", "plainHttp": True}))
    assert "spec.image.pushSecretRef" in asking.messages(result, "spec.image.repository")[0]


def test_a_missing_server_image_is_reported_before_any_work(tmp_path: Path) -> None:
    with registry_server.serve(tmp_path / "registry" / "data") as server:
        image = {"repository": f"{server.host}/ida", "plainHttp": True}
        image |= {"formats": ["server"], "base": f"{server.host}/bases/server:1"}
        result = check(asking.task(tmp_path, image=image))
    assert "the registry has no such image" in asking.messages(result, "spec.image.base")[0]


def test_a_registry_that_is_down_is_retried(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot reach the registry"):
        check(asking.task(tmp_path, image={"repository": "127.0.0.1:1/ida", "plainHttp": True}))


def test_a_server_image_that_is_none_is_reported_before_any_work(tmp_path: Path) -> None:
    with scripted.serve(scripted.Image(config=b"{}").answer) as charts:
        image = {"repository": f"{charts.host}/ida", "plainHttp": True}
        image |= {"formats": ["server"], "base": f"{charts.host}/charts/any:1"}
        result = check(asking.task(tmp_path, image=image))
    assert "a configuration in which rootfs is wrong" in asking.messages(result, "spec.image.base")[0]
