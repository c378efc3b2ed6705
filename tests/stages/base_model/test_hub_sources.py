"""hf:// base models: the real client against a local stand-in for the hub."""

import random
from pathlib import Path
from typing import Any

import pytest
from tests.stages.base_model import contexts, folders, hub

from selfalign_stages.artifacts import reading
from selfalign_stages.base_model import importing
from selfalign_stages.contract.exits import AccessDenied, BadInput, Interrupted, StageError, Unavailable
from selfalign_stages.contract.task import Leaf

FILES = folders.with_more()
LEAF = Leaf(uri="hf://harbour/lantern", revision=hub.COMMIT)
SHARD = "model-00001-of-00002.safetensors"


def refusal(tmp_path: Path, leaf: Leaf = LEAF) -> StageError:
    return contexts.refusal(leaf, tmp_path)


def test_a_model_has_the_same_digest_on_the_hub_and_in_a_folder(served: hub.HubState, tmp_path: Path) -> None:
    folder = Leaf(uri=folders.write(tmp_path / "model", FILES).as_uri())
    assert contexts.digest(LEAF, tmp_path) == contexts.digest(folder, tmp_path)


def test_the_digest_of_a_model_needs_no_download_of_weights(served: hub.HubState, tmp_path: Path) -> None:
    contexts.digest(LEAF, tmp_path)
    assert not [path for path in served.paths() if path.endswith(hub.LARGE)]
    assert not [path for _, path in served.requests if path.startswith("/content/")]


def test_an_import_requests_what_the_model_needs_and_no_pickle(served: hub.HubState, tmp_path: Path) -> None:
    pinned = LEAF.model_copy(update={"digest": contexts.digest(LEAF, tmp_path)})
    context = contexts.context(pinned, tmp_path)
    manifest = importing.run(context)
    expected = folders.contents(shards=2)
    assert {entry.name for entry in manifest.files} == {*expected, "source.json"}
    for name, data in expected.items():
        assert reading.read_bytes(context.store, manifest, name) == data
    assert set(served.paths()) == set(expected)
    assert reading.read_json(context.store, manifest, "source.json")["revision"] == hub.COMMIT


def test_a_stopped_import_downloads_no_shard_twice(served: hub.HubState, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        importing.run(contexts.context(LEAF, tmp_path, stop=contexts.stop_after(len(FILES) - 6)))
    importing.run(contexts.context(LEAF, tmp_path))
    fetched = [path for command, path in served.requests if command == "GET" and path.startswith("/content/")]
    assert len(fetched) == len(set(fetched)) == 2


def test_a_transfer_that_breaks_off_is_resumed(served: hub.HubState, tmp_path: Path) -> None:
    served.cut.add(SHARD)
    context = contexts.context(LEAF, tmp_path)
    assert reading.read_bytes(context.store, importing.run(context), SHARD) == FILES[SHARD]
    assert not served.cut


def test_a_shard_that_is_damaged_on_the_hub_is_not_published(served: hub.HubState, tmp_path: Path) -> None:
    served.damaged.add(SHARD)
    with pytest.raises(BadInput, match=f"{SHARD} arrived with sha256 .* at each of 3 attempts") as raised:
        importing.run(contexts.context(LEAF, tmp_path))
    assert raised.value.reason == "BaseModelDamaged"
    assert not list((tmp_path / "store").rglob(SHARD))
    served.damaged.clear()
    importing.run(contexts.context(LEAF, tmp_path))


def test_a_shard_that_arrives_otherwise_each_time_is_retried_later(served: hub.HubState, tmp_path: Path) -> None:
    class Changing(dict[str, bytes]):
        def get(self, name: str, default: Any = None) -> Any:
            return random.randbytes(len(default)) if name == SHARD and default else default

    served.bodies = Changing()
    with pytest.raises(Unavailable, match=SHARD) as raised:
        importing.run(contexts.context(LEAF, tmp_path))
    assert raised.value.reason == "DownloadDamaged"


def test_a_shard_that_arrives_damaged_once_is_fetched_again(served: hub.HubState, tmp_path: Path) -> None:
    class Once(dict[str, bytes]):
        def get(self, name: str, default: Any = None) -> Any:
            return self.pop(name, default)

    served.bodies = Once({SHARD: bytes(len(FILES[SHARD])), "tokenizer.json": bytes(len(FILES["tokenizer.json"]))})
    context = contexts.context(LEAF, tmp_path)
    manifest = importing.run(context)
    assert not served.bodies
    assert all(reading.read_bytes(context.store, manifest, name) == FILES[name] for name in (SHARD, "tokenizer.json"))


def test_a_private_model_is_read_with_its_token(
    served: hub.HubState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.token = "right"
    error = refusal(tmp_path)
    assert isinstance(error, BadInput)
    assert "set spec.baseModel.secretRef to a Secret with HF_TOKEN" in str(error)
    monkeypatch.setenv("HF_TOKEN", "wrong")
    assert refusal(tmp_path).reason == "BaseModelMissing"
    monkeypatch.setenv("HF_TOKEN", "right")
    assert contexts.digest(LEAF, tmp_path)


def test_a_gated_model_is_refused_with_its_remedy(served: hub.HubState, tmp_path: Path) -> None:
    served.gated = True
    error = refusal(tmp_path)
    assert isinstance(error, AccessDenied)
    assert "accept its terms on the hub, then set spec.baseModel.secretRef" in str(error)


def test_an_unknown_name_and_an_unknown_commit_have_different_reasons(served: hub.HubState, tmp_path: Path) -> None:
    nowhere = refusal(tmp_path, LEAF.model_copy(update={"uri": "hf://harbour/nothing"}))
    assert (type(nowhere), nowhere.reason) == (BadInput, "BaseModelMissing")
    commit = refusal(tmp_path, LEAF.model_copy(update={"revision": "0" * 40}))
    assert (type(commit), commit.reason) == (BadInput, "RevisionMissing")
    assert "spec.baseModel.revision" in str(commit)


@pytest.mark.parametrize("revision", [None, "main", "v1.0", "c0ffee"])
def test_a_revision_that_may_move_is_refused(tmp_path: Path, revision: str | None) -> None:
    error = refusal(tmp_path, Leaf(uri="hf://harbour/lantern", revision=revision))
    assert error.reason == "RevisionNotPinned"


@pytest.mark.parametrize("name", ["a/b/c", "harbour/lan tern", "-/-"])
def test_a_malformed_name_is_refused(served: hub.HubState, tmp_path: Path, name: str) -> None:
    assert isinstance(refusal(tmp_path, Leaf(uri=f"hf://{name}", revision=hub.COMMIT)), BadInput)


def test_a_hub_that_is_busy_or_unreachable_is_retried(
    served: hub.HubState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.down = True
    error = refusal(tmp_path)
    assert isinstance(error, Unavailable)
    assert f"{served.address} answers HTTP 503; tried 1 time;" in str(error)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    error = refusal(tmp_path)
    assert isinstance(error, Unavailable)
    assert "cannot reach http://127.0.0.1:9: ConnectError" in str(error)
