"""Preflight asks the registry before any work is done."""

from pathlib import Path

import pytest
from tests import registry_server
from tests.stages.preflight import asking

from selfalign_stages.contract.exits import Unavailable
from selfalign_stages.preflight.check import check


def test_a_registry_that_we_may_push_to_is_no_problem(tmp_path: Path) -> None:
    with registry_server.serve(tmp_path / "registry" / "data") as server:
        answer = check(asking.task(tmp_path, image={"repository": f"{server.host}/ida", "plainHttp": True}))
    assert answer.problems == ()


def test_a_refusal_is_told_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with registry_server.serve(tmp_path / "registry" / "data", password=True) as server:
        answer = check(asking.task(tmp_path, image={"repository": f"{server.host}/ida", "plainHttp": True}))
    assert "spec.image.pushSecretRef" in asking.told(answer, "spec.image.repository")[0]


def test_a_server_image_that_does_not_exist_is_told_before_any_work(tmp_path: Path) -> None:
    with registry_server.serve(tmp_path / "registry" / "data") as server:
        image = {"repository": f"{server.host}/ida", "plainHttp": True}
        image |= {"formats": ["server"], "base": f"{server.host}/bases/server:1"}
        answer = check(asking.task(tmp_path, image=image))
    assert "the registry has no such image" in asking.told(answer, "spec.image.base")[0]


def test_a_registry_that_is_down_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot reach the registry"):
        check(asking.task(tmp_path, image={"repository": "127.0.0.1:1/ida", "plainHttp": True}))
