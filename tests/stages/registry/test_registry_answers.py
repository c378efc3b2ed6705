"""What arrives is compared, repeated and bounded; every odd answer is an error that names registry and image."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.stages.registry import scripted
from tests.stages.registry.scripted import INDEX, MANIFEST, Image, Reply, Request

from selfalign_stages.contract.exits import BadInput, StageError, Unavailable
from selfalign_stages.registry import documents
from selfalign_stages.registry.pushing import Repository

IMAGE, OTHER = Image(), Image(layers=(b"other",))
DIGEST = scripted.digest(IMAGE.manifest)
BLOB = documents.Descriptor.model_validate(scripted.descriptor(b"first layer", scripted.LAYER))


def repository(server: scripted.Server, waits: list[float] | None = None) -> Repository:
    waited: list[float] = [] if waits is None else waits
    return Repository(f"{server.host}/ida", plain_http=True, pause=waited.append)


def only(path: str, reply: Callable[[int], Reply]) -> scripted.Script:
    """Answers for one path with a reply by its number, for all others as the image."""
    count = 0

    def script(request: Request) -> Reply:
        nonlocal count
        if path not in request.path or request.method != "GET":
            return IMAGE.answer(request)
        count += 1
        return reply(count - 1)

    return script


def test_an_image_is_read_whole(tmp_path: Path) -> None:
    with scripted.serve(IMAGE.answer) as server, repository(server) as client:
        for reference in ("1", DIGEST):
            image = client.image(reference)
            assert image.data == IMAGE.manifest
        assert client.read_blob(image.config) == IMAGE.config
        client.download_blob(BLOB, tmp_path / "layer")
        assert (tmp_path / "layer").read_bytes() == b"first layer"


@pytest.mark.parametrize("reference", ["1", DIGEST])
def test_other_bytes_each_time_the_same_are_the_registrys_own(reference: str) -> None:
    wrong = Reply(200, OTHER.manifest, {"Docker-Content-Digest": DIGEST})
    with scripted.serve(only("manifests", lambda number: wrong)) as server, repository(server) as client:
        with pytest.raises(BadInput, match=f"{server.host}/ida.*other bytes than its digest says") as raised:
            client.image(reference)
        assert raised.value.reason == "DigestMismatch"
        assert len(server.requests) == 3


def test_other_bytes_that_differ_each_time_say_nothing_of_the_registry() -> None:
    script = only(BLOB.digest, lambda number: Reply(200, b"first laye" + bytes([number])))
    with scripted.serve(script) as server, repository(server) as client:
        with pytest.raises(Unavailable, match="brought other bytes each time"):
            client.check_blob(BLOB)
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    "first", [Reply(200, b"first lay\0r"), Reply(200, b"first layer", cut=4), Reply(200, b"first layer and more")]
)
def test_a_download_that_is_right_at_last_is_right(tmp_path: Path, first: Reply) -> None:
    script = only(BLOB.digest, lambda number: first if number < 2 else Reply(200, b"first layer"))
    with scripted.serve(script) as server, repository(server) as client:
        client.download_blob(BLOB, tmp_path / "layer")
        assert (tmp_path / "layer").read_bytes() == b"first layer"


@pytest.mark.parametrize("path", ["manifests", BLOB.digest])
def test_a_connection_that_is_cut_each_time_is_unavailable(tmp_path: Path, path: str) -> None:
    data = IMAGE.manifest if path == "manifests" else b"first layer"
    with scripted.serve(only(path, lambda number: Reply(200, data, cut=5))) as server, repository(server) as client:
        with pytest.raises(Unavailable, match="downloads broke off"):
            client.image("1")
            client.download_blob(BLOB, tmp_path / "layer")
        assert not (tmp_path / "layer").exists()


@pytest.mark.parametrize("body", [b"", b"first", b"x" * 11, b"first layer" * 50_000])
def test_a_wrong_blob_leaves_no_file(tmp_path: Path, body: bytes) -> None:
    with scripted.serve(only(BLOB.digest, lambda number: Reply(200, body))) as server, repository(server) as client:
        with pytest.raises(BadInput) as raised:
            client.download_blob(BLOB, tmp_path / "layer")
        assert raised.value.reason == "DigestMismatch" and BLOB.digest in str(raised.value)
        assert not (tmp_path / "layer").exists()


def test_a_missing_blob_is_named() -> None:
    with scripted.serve(lambda request: Reply(404)) as server, repository(server) as client:
        with pytest.raises(BadInput, match=f"{BLOB.digest}: the registry has no such blob"):
            client.check_blob(BLOB)


def document(**fields: Any) -> bytes:
    return json.dumps({"schemaVersion": 2} | fields).encode()


CONFIG = scripted.descriptor(IMAGE.config, scripted.CONFIG)
ODD: dict[str, tuple[bytes, str, str]] = {
    "login page": (b"<html>Sign in</html>", "text/html", "text/html.*login page"),
    "nothing": (b"", "", "not JSON"),
    "a list": (b"[]", "", "no JSON object"),
    "deep": (b"[" * 200_000, "", "nested"),
    "deep object": (b'{"a":' * 200_000, "", "nested"),
    "not UTF-8": (b"\xff", "", "UTF-8"),
    "two equal keys": (b'{"layers": [], "layers": []}', "", "duplicate key"),
    "schema 1": (document(schemaVersion=1, fsLayers=[]), "", "schema 1"),
    "schema 1 by members": (document(fsLayers=[]), "", "schema 1"),
    "neither": (document(), "", "neither"),
    "both": (document(config=CONFIG, layers=[], manifests=[]), "", "both"),
    "says index, is manifest": (document(mediaType=INDEX, config=CONFIG, layers=[]), "", "another type"),
    "sent as index, is manifest": (document(config=CONFIG, layers=[]), INDEX, "another type"),
    "odd mediaType": (document(mediaType=[], config=CONFIG, layers=[]), "", "another type"),
    "no layers": (document(config=CONFIG), "", "layers is wrong"),
    "layers a number": (document(config=CONFIG, layers=5), "", "layers is wrong"),
    "config null": (document(config=None, layers=[]), "", "config is wrong"),
    "size a text": (document(config=CONFIG | {"size": "5"}, layers=[]), "", "config.size is wrong"),
    "size negative": (document(config=CONFIG | {"size": -5}, layers=[]), "", "config.size is wrong"),
    "size true": (document(config=CONFIG | {"size": True}, layers=[]), "", "config.size is wrong"),
    "digest of a path": (document(config=CONFIG | {"digest": "../../x"}, layers=[]), "", "no sha256 or sha512 digest"),
    "digest md5": (document(config=CONFIG | {"digest": "md5:" + "a" * 32}, layers=[]), "", "no sha256 or sha512"),
    "manifests null": (document(manifests=None), "", "manifests is wrong"),
    "entry a number": (document(manifests=[5]), "", "manifests.0 is wrong"),
    "no entries": (document(manifests=[]), "", "no image for linux/amd64"),
    "another platform": (
        document(
            manifests=[scripted.descriptor(b"", MANIFEST) | {"platform": {"os": "linux", "architecture": "arm64"}}]
        ),
        "",
        "no image for linux/amd64",
    ),
    "platform a text": (document(manifests=[scripted.descriptor(b"", MANIFEST) | {"platform": "x"}]), "", "platform"),
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_manifest_is_an_error_that_names_the_image(case: str) -> None:
    body, content_type, words = ODD[case]
    script = only("manifests", lambda number: Reply(200, body, {"Content-Type": content_type}))
    with scripted.serve(script) as server, repository(server) as client:
        with pytest.raises(BadInput, match=words) as raised:
            client.image("1")
        assert f"{server.host}/ida:1" in str(raised.value) and str(raised.value).isprintable()


def test_a_manifest_of_any_size_is_not_read_whole() -> None:
    huge = Reply(200, b" " * (documents.MAX_BYTES + 2_000_000))
    with scripted.serve(only("manifests", lambda number: huge)) as server, repository(server) as client:
        with pytest.raises(BadInput, match="more than 4 MiB"):
            client.image("1")


def test_a_configuration_of_any_size_is_not_asked_for() -> None:
    config = documents.Descriptor.model_validate(CONFIG | {"size": 1 << 40})
    with scripted.serve(IMAGE.answer) as server, repository(server) as client:
        with pytest.raises(BadInput, match="a configuration has at most 4"):
            client.read_blob(config)
        assert not server.requests


def index(*entries: bytes, media_type: str | None = INDEX, entry_type: str = MANIFEST, also: Any = None) -> bytes:
    manifests = [scripted.descriptor(entry, entry_type) | (also or {}) for entry in entries]
    return document(manifests=manifests, **({"mediaType": media_type} if media_type else {}))


AMD64 = {"platform": {"os": "linux", "architecture": "amd64"}}


@pytest.mark.parametrize("media_type", [INDEX, documents.INDEXES[1], None])
@pytest.mark.parametrize("platform", [AMD64, {}])
def test_an_index_leads_to_the_image_of_the_platform(media_type: str | None, platform: dict[str, Any]) -> None:
    data = index(IMAGE.manifest, media_type=media_type, also=platform)
    with scripted.serve(only("manifests/1", lambda number: Reply(200, data))) as server, repository(server) as client:
        assert client.image("1").data == IMAGE.manifest


def test_an_index_may_refer_to_an_index_once() -> None:
    inner = index(IMAGE.manifest, also=AMD64)
    outer = index(inner, entry_type=INDEX)
    outermost = index(outer, entry_type=INDEX)
    stored = {scripted.digest(data): data for data in (inner, outer, outermost)}
    top = outer

    def script(request: Request) -> Reply:
        name = request.path.rpartition("/")[2]
        if name == "1":
            return Reply(200, top)
        return Reply(200, stored[name]) if name in stored else IMAGE.answer(request)

    with scripted.serve(script) as server, repository(server) as client:
        assert client.image("1").data == IMAGE.manifest
        top = outermost
        with pytest.raises(BadInput, match="indexes within indexes"):
            client.image("1")


def test_an_index_that_names_itself_costs_few_requests() -> None:
    data = index(b"any", entry_type=INDEX, also=AMD64)
    with scripted.serve(lambda request: Reply(200, data)) as server, repository(server) as client:
        with pytest.raises(StageError):
            client.image("1")
        assert len(server.requests) <= 8


def test_an_entry_of_another_size_than_the_index_says_is_another_manifest() -> None:
    data = index(IMAGE.manifest, also={"size": 5})
    with scripted.serve(only("manifests/1", lambda number: Reply(200, data))) as server, repository(server) as client:
        with pytest.raises(BadInput, match="other bytes"):
            client.image("1")


def test_head_is_not_required_of_a_registry() -> None:
    def script(request: Request) -> Reply:
        if request.method == "HEAD":
            return Reply(405) if "manifests" in request.path else IMAGE.answer(request)
        return Reply(404) if request.path.endswith("/absent") else IMAGE.answer(request)

    with scripted.serve(script) as server, repository(server) as client:
        assert client.digest("1") == DIGEST
        assert client.digest("absent") is None


def test_a_digest_header_that_is_none_is_not_believed() -> None:
    def script(request: Request) -> Reply:
        return Reply(200, IMAGE.manifest, {"Docker-Content-Digest": "sha256:../x"})

    with scripted.serve(script) as server, repository(server) as client:
        assert client.digest("1") == DIGEST
