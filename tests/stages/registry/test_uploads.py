"""Uploads start over when they break, and what the registry then has is what was sent."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.stages.registry import scripted
from tests.stages.registry.scripted import Reply, Request
from tests.stages.registry.test_registry_answers import BLOB, DIGEST, IMAGE, OTHER, repository

from selfalign_stages.contract.exits import BadInput, Unavailable
from selfalign_stages.registry import documents, retrying
from selfalign_stages.registry.pushing import Repository


class Uploads:
    """Accepts uploads; `broken` are replies to the first PUTs of a blob."""

    def __init__(self, *broken: Reply | None, keep: int | None = None, digest: str | None = None) -> None:
        self.broken, self.keep, self.digest = list(broken), keep, digest
        self.stored: dict[str, bytes] = {}
        self.tags: dict[str, bytes] = {}

    def __call__(self, request: Request) -> Reply:
        name = request.path.rpartition("/")[2]
        if request.method == "POST":
            return Reply(202, headers={"Location": "/v2/ida/blobs/uploads/1"})
        if request.method == "PUT" and "manifests" in request.path:
            self.tags[name] = request.body
            return Reply(201, headers={"Docker-Content-Digest": self.digest or scripted.digest(request.body)})
        if request.method == "PUT":
            if self.broken and (reply := self.broken.pop(0)) is not None:
                return reply
            self.stored[request.query["digest"][0]] = request.body[: self.keep]
            return Reply(201)
        if name in self.tags:
            return Reply(200, self.tags[name], {"Docker-Content-Digest": scripted.digest(self.tags[name])})
        return Reply(200, self.stored[name]) if name in self.stored else Reply(404)


def upload(client: Repository, folder: Path) -> None:
    (folder / "layer").write_bytes(b"first layer")
    client.put_blob(folder / "layer", BLOB)


@pytest.mark.parametrize("broken", [Reply(500), Reply(503), Reply(404), Reply(0)])
def test_an_upload_that_breaks_starts_over(tmp_path: Path, broken: Reply) -> None:
    uploads = Uploads(broken, broken)
    with scripted.serve(uploads) as server, repository(server) as client:
        upload(client, tmp_path)
        assert uploads.stored == {BLOB.digest: b"first layer"}
        assert server.requested.count("POST /v2/ida/blobs/uploads/") == 3


def test_an_upload_whose_answer_got_lost_is_not_repeated(tmp_path: Path) -> None:
    uploads = Uploads()

    def script(request: Request) -> Reply:
        reply = uploads(request)
        return Reply(502) if request.method == "PUT" else reply

    with scripted.serve(script) as server, repository(server) as client:
        upload(client, tmp_path)
        assert sum(line.startswith("PUT") for line in server.requested) == 1


def test_the_answer_to_a_whole_upload_may_take_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[dict[str, float]] = []

    def send(client: httpx.Client, request: httpx.Request, **settings: Any) -> httpx.Response:
        if request.method == "PUT":
            limits.append(request.extensions["timeout"])
        return send_really(client, request, **settings)

    send_really = httpx.Client.send
    monkeypatch.setattr(httpx.Client, "send", send)
    with scripted.serve(Uploads()) as server, repository(server) as client:
        upload(client, tmp_path)
        client.put_manifest(manifest(), "tag")
    assert [(limit["read"], limit["write"]) for limit in limits] == [(900.0, 60.0)] * 2


def test_an_upload_that_breaks_each_time_is_unavailable(tmp_path: Path) -> None:
    with scripted.serve(Uploads(*[Reply(500)] * 9)) as server, repository(server) as client:
        with pytest.raises(Unavailable, match="HTTP 500"):
            upload(client, tmp_path)
        assert sum(line.startswith("PUT") for line in server.requested) == retrying.ATTEMPTS


@pytest.mark.parametrize("status", [400, 413])
def test_a_rejected_upload_is_final(tmp_path: Path, status: int) -> None:
    uploads = Uploads(Reply(status, b'{"errors": [{"code": "DIGEST_INVALID"}]}'))
    with (
        scripted.serve(uploads) as server,
        repository(server) as client,
        pytest.raises(BadInput, match="DIGEST_INVALID"),
    ):
        upload(client, tmp_path)


def test_a_registry_that_keeps_a_damaged_blob_is_told_apart(tmp_path: Path) -> None:
    with scripted.serve(Uploads(keep=5)) as server, repository(server) as client:
        with pytest.raises(BadInput, match="5 of the 11 bytes.*delete the blob"):
            upload(client, tmp_path)


def test_an_upload_without_a_location_is_an_error(tmp_path: Path) -> None:
    with scripted.serve(lambda request: Reply(202)) as server, repository(server) as client:
        with pytest.raises(BadInput, match="without saying where to"):
            upload(client, tmp_path)


def test_an_upload_at_another_host_gets_nothing_and_is_named(tmp_path: Path) -> None:
    with scripted.serve(lambda request: Reply(201)) as other:
        away = Reply(202, headers={"Location": f"http://{other.host}/upload"})
        with scripted.serve(lambda request: away) as server, repository(server) as client:
            with pytest.raises(BadInput, match=f"redirects an upload to http://{other.host}, which is not followed"):
                upload(client, tmp_path)
        assert not other.requests


def manifest() -> documents.ImageManifest:
    parsed = documents.parse(IMAGE.manifest)
    assert isinstance(parsed, documents.ImageManifest)
    return parsed


def test_a_pushed_manifest_is_read_back() -> None:
    with scripted.serve(Uploads()) as server, repository(server) as client:
        client.put_manifest(manifest(), DIGEST)
        client.put_manifest(manifest(), "tag")
        assert client.digest("tag") == DIGEST


def test_a_registry_that_stored_another_manifest_is_told() -> None:
    other = scripted.digest(OTHER.manifest)
    with scripted.serve(Uploads(digest=other)) as server, repository(server) as client:
        with pytest.raises(BadInput, match=f"stored {other} where {DIGEST} was sent"):
            client.put_manifest(manifest(), "tag")


def test_a_tag_that_moves_at_once_is_told() -> None:
    uploads = Uploads()

    def script(request: Request) -> Reply:
        if request.method == "HEAD":
            uploads.tags["tag"] = OTHER.manifest
        return uploads(request)

    with scripted.serve(script) as server, repository(server) as client:
        with pytest.raises(Unavailable, match="moves the same tag"):
            client.put_manifest(manifest(), "tag")


def test_only_the_same_registry_is_asked_for_a_mount() -> None:
    with scripted.serve(lambda request: Reply(201)) as server, repository(server) as client:
        other = Repository("ubuntu").name
        assert not client.mount_blob(BLOB.digest, other)
        assert not server.requests
        assert client.mount_blob(BLOB.digest, client.name)
        assert server.requests[0].query == {"mount": [BLOB.digest], "from": ["ida"]}
