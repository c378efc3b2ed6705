"""What tests of hf:// base models share: a hub that serves one model, and a mounted Secret."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stages.base_model import folders, hub

from selfalign_stages.base_model import hub_client


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[hub.HubState]:
    with hub.serving(folders.with_more()) as state:
        monkeypatch.setattr(hub_client, "PATIENCE_SECONDS", 0.0)
        monkeypatch.setenv("HF_ENDPOINT", state.address)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield state


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where a pod finds spec.baseModel.secretRef."""
    monkeypatch.setattr("selfalign_stages.contract.credentials.FOLDER", tmp_path / "credentials")
    folder = tmp_path / "credentials" / "base-model"
    folder.mkdir(parents=True)
    return folder
