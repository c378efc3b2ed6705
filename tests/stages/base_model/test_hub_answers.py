"""What answers in the place of a hub, and hubs that answer as none should."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.scale import scaled
from tests.stages.base_model import contexts, folders, hub

from selfalign_stages.artifacts import reading
from selfalign_stages.base_model import importing, inspection, open_source
from selfalign_stages.base_model.hub import HubSource
from selfalign_stages.contract.exits import BadInput, DoesNotFit, StageError, Unavailable
from selfalign_stages.contract.task import Leaf

FILES = folders.with_more()
LEAF = Leaf(uri="hf://harbour/lantern", revision=hub.COMMIT)
SHARD = "model-00001-of-00002.safetensors"


def refusal(tmp_path: Path, leaf: Leaf = LEAF) -> StageError:
    return contexts.refusal(leaf, tmp_path)


def test_a_login_page_instead_of_the_listing_is_named_and_passes_with_the_login(
    served: hub.HubState, tmp_path: Path
) -> None:
    served.pages.add(hub.LISTING)
    error = refusal(tmp_path)
    assert (type(error), error.reason) == (Unavailable, "NotAHub")
    assert f"{served.address} does not answer as a hub does" in str(error)
    assert "check the network and HF_ENDPOINT" in str(error)
    served.pages.clear()
    assert contexts.digest(LEAF, tmp_path)


@pytest.mark.parametrize("name", scaled(["config.json", SHARD, "LICENSE"], [*folders.contents(shards=2)]))
def test_a_login_page_instead_of_a_file_is_named(served: hub.HubState, tmp_path: Path, name: str) -> None:
    served.pages.add(name)
    with pytest.raises(Unavailable) as raised:
        importing.run(contexts.context(LEAF, tmp_path))
    assert raised.value.reason == "NotAHub"
    assert not list((tmp_path / "store").rglob("manifest.json"))


@pytest.mark.parametrize("name", scaled(["tokenizer.json", SHARD, "README.md"], [*folders.contents(shards=2)]))
def test_a_page_under_a_files_own_headers_is_not_taken_for_it(served: hub.HubState, tmp_path: Path, name: str) -> None:
    page = hub.PAGE + b" " * (len(FILES[name]) - len(hub.PAGE))
    served.bodies[name] = page if len(page) == len(FILES[name]) else hub.PAGE[: len(FILES[name])]
    with pytest.raises((Unavailable, BadInput), match=re.escape(name)):
        importing.run(contexts.context(LEAF, tmp_path))
    assert not list((tmp_path / "store").rglob("manifest.json"))


LISTINGS: dict[str, bytes] = {
    "nothing": b"",
    "a list": b"[]",
    "no files": b"{}",
    "files that are no list": b'{"siblings": {}}',
    "a file without a name": b'{"siblings": [{"size": 1}]}',
    "a name that is a number": b'{"siblings": [{"rfilename": 1}]}',
    "a negative size": b'{"siblings": [{"rfilename": "config.json", "size": -5}]}',
    "a size that is a truth": b'{"siblings": [{"rfilename": "config.json", "size": true}]}',
    "lfs that is a text": b'{"siblings": [{"rfilename": "config.json", "lfs": "x"}]}',
    "another commit": b'{"siblings": [], "sha": "0000000000000000000000000000000000000000"}',
    "deep nesting": b'{"siblings": ' + b"[" * 50_000,
    "not UTF-8": b'{"siblings": [{"rfilename": "\xff"}]}',
    "cut off": b'{"siblings": [{"rfilename": "config.js',
}


@pytest.mark.parametrize("listing", LISTINGS.values(), ids=LISTINGS.keys())
def test_an_answer_that_is_no_listing_of_this_commit_is_retried(
    served: hub.HubState, tmp_path: Path, listing: bytes
) -> None:
    served.bodies[hub.LISTING] = listing
    error = refusal(tmp_path)
    assert (type(error), error.reason) == (Unavailable, "NotAHub")


def test_a_listing_without_end_does_not_fill_the_memory(
    served: hub.HubState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("selfalign_stages.base_model.hub.LARGEST_LISTING", 1000)
    served.bodies[hub.LISTING] = b'{"siblings": [' + b" " * 1000
    assert "its listing has more than" in str(refusal(tmp_path))


NAMES = ["../tokenizer.json", "/etc/passwd", "a\\b", "a/../b", "", "\u202efig.json", "LICENSE\x1b[2J", "LICENSE\n"]


@pytest.mark.parametrize("name", NAMES)
def test_a_repository_with_a_file_that_would_leave_its_folder_is_refused(
    served: hub.HubState, tmp_path: Path, name: str
) -> None:
    served.files[name] = b"x"
    with pytest.raises(BadInput, match="leaves the model's folder") as raised:
        importing.run(contexts.context(LEAF, tmp_path))
    assert str(raised.value).isprintable()
    assert not [path for path in served.paths() if path == name]


def test_names_that_differ_in_case_alone_are_refused(served: hub.HubState, tmp_path: Path) -> None:
    served.files["license"] = b"another"
    with pytest.raises(BadInput, match="license: is the same as LICENSE on disks that ignore case"):
        importing.run(contexts.context(LEAF, tmp_path))
    del served.files["license"]
    importing.run(contexts.context(LEAF, tmp_path))


def without(*keys: str) -> Callable[[dict[str, Any]], Any]:
    """Leaves entries out of every file of a listing, as some mirrors do."""

    def change(listing: dict[str, Any]) -> Any:
        files = [{key: value for key, value in entry.items() if key not in keys} for entry in listing["siblings"]]
        return {**listing, "siblings": files}

    return change


@pytest.mark.parametrize("keys", [("lfs",), ("blobId", "lfs"), ("size",), ("size", "lfs", "blobId")])
def test_a_mirror_that_lists_less_gives_the_same_digest_and_model(
    served: hub.HubState, tmp_path: Path, keys: tuple[str, ...]
) -> None:
    folder = Leaf(uri=folders.write(tmp_path / "model", FILES).as_uri())
    served.change = without(*keys)
    pinned = LEAF.model_copy(update={"digest": contexts.digest(folder, tmp_path)})
    context = contexts.context(pinned, tmp_path)
    manifest = importing.run(context)
    assert all(reading.read_bytes(context.store, manifest, name) == FILES[name] for name in [SHARD, "config.json"])


def test_large_files_without_any_hash_are_hashed_from_disk(
    served: hub.HubState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = contexts.digest(LEAF, tmp_path)
    monkeypatch.setattr("selfalign_stages.base_model.hub.KEPT_BYTES", 100)
    served.change = without("lfs", "blobId")
    served.headers["X-Linked-Etag"] = '"of no meaning"'
    source = open_source.open_source(LEAF, store=contexts.location(tmp_path))
    assert inspection.inspect(source, LEAF).digest == digest
    assert isinstance(source, HubSource)
    assert SHARD not in source.small_files


def test_a_file_without_enough_disk_is_not_begun(served: hub.HubState, tmp_path: Path) -> None:
    def larger(listing: dict[str, Any]) -> Any:
        for entry in listing["siblings"]:
            if entry["rfilename"] == SHARD:
                entry["lfs"]["size"] = 1 << 60
        return listing

    served.change = larger
    with pytest.raises(DoesNotFit, match=rf"{tmp_path}.*{SHARD} needs \d+ MiB of disk and \d+ MiB are free"):
        importing.run(contexts.context(LEAF, tmp_path))
    assert not [path for path in served.paths() if path == SHARD]


def test_an_expired_token_is_retried_and_a_new_one_is_used(
    served: hub.HubState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.token, served.expired = "hf_new", {"hf_old"}
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    error = refusal(tmp_path)
    assert (type(error), error.reason) == (Unavailable, "CredentialsExpired")
    assert "put a new HF_TOKEN into the Secret" in str(error)
    monkeypatch.setenv("HF_TOKEN", "hf_new")
    assert contexts.digest(LEAF, tmp_path)
