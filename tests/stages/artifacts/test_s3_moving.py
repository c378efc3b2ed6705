"""Damaged objects are moved by the server, and never lost on the way."""

import os
import re
from collections.abc import Mapping

import pytest
from tests.faults import Answer, Dropped, Fault, always, in_turn, s3_error
from tests.stages.artifacts.conftest import Through

from selfalign_stages.artifacts import s3_moving
from selfalign_stages.artifacts.open_store import open_store
from selfalign_stages.contract.exits import AccessDenied, BadInput, Unavailable
from selfalign_stages.contract.task import StoreLocation
from selfalign_stages.step.store import Store

CONTENT = os.urandom(100_000)


def names(store: Store) -> list[str]:
    return [info.name for info in store.list("")]


def test_a_large_object_is_copied_in_parts(s3_location: StoreLocation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_moving, "COPY_WHOLE", 1)
    monkeypatch.setattr(s3_moving, "COPY_PART", 5 << 20)
    content = os.urandom(11 << 20)
    store = open_store(s3_location)
    store.put("shard", content)
    aside = store.set_aside("shard")
    assert aside is not None
    with store.open(aside) as stream:
        assert stream.read() == content
    assert names(store) == [aside]


def test_the_copy_is_encrypted_like_every_new_object(through: Through, s3_location: StoreLocation) -> None:
    store, proxy = through(lambda *_: None)
    store.put("part", CONTENT)
    encrypted = type(store)(
        s3_location.model_copy(update={"endpoint": proxy.endpoint, "sse": "aws:kms", "sse_kms_key_id": "key"})
    )
    encrypted.set_aside("part")
    copies = [request.headers for request in proxy.requests if "x-amz-copy-source" in request.headers]
    assert [headers["x-amz-server-side-encryption-aws-kms-key-id"] for headers in copies] == ["key"]


@pytest.mark.parametrize("refusal", [s3_error(501, "NotImplemented"), s3_error(405, "MethodNotAllowed")])
def test_a_server_that_cannot_copy_leaves_the_object_and_says_what_to_do(
    through: Through, s3_location: StoreLocation, refusal: Fault
) -> None:
    store, _ = through(always("PUT", "/set-aside/", refusal))
    store.put("part", CONTENT)
    with pytest.raises(BadInput, match=r"s3://tests/.*/part at .*move or delete it by hand"):
        store.set_aside("part")
    assert names(store) == ["part"]
    # The remedy.
    open_store(s3_location).delete("part")
    assert store.set_aside("part") is None


def test_a_copy_that_is_not_there_costs_nothing(through: Through) -> None:
    copied = Answer(200, b"<CopyObjectResult><ETag>x</ETag></CopyObjectResult>", {"Content-Type": "application/xml"})
    store, _ = through(always("PUT", "/set-aside/", copied))
    store.put("part", CONTENT)
    with pytest.raises(Unavailable, match="is missing, so that the original stays"):
        store.set_aside("part")
    assert names(store) == ["part"]


def test_an_object_that_was_made_anew_meanwhile_stays(through: Through, s3_location: StoreLocation) -> None:
    def rule(method: str, path: str, number: int, headers: Mapping[str, str]) -> Fault | None:
        # Another process replaces the object while this one looks at its copy.
        if method == "HEAD" and "/set-aside/" in path:
            open_store(s3_location).replace("part", b"good")
        return None

    store, _ = through(rule)
    store.put("part", CONTENT)
    aside = store.set_aside("part")
    assert names(store) == ["part", aside]
    with store.open("part") as stream:
        assert stream.read() == b"good"


@pytest.mark.parametrize("code", ["NoSuchKey", "PreconditionFailed"])
def test_an_object_that_another_process_moves_first_is_left_to_it(through: Through, code: str) -> None:
    store, _ = through(always("PUT", "/set-aside/", s3_error(404 if code == "NoSuchKey" else 412, code)))
    store.put("part", CONTENT)
    assert store.set_aside("part") is None


def test_a_lost_answer_to_the_copy_is_no_harm(through: Through) -> None:
    store, _ = through(in_turn("PUT", "/set-aside/", Dropped(forwarded=True)))
    store.put("part", CONTENT)
    aside = store.set_aside("part")
    assert aside is not None and re.fullmatch(r"set-aside/part-[0-9a-f]{8}", aside)
    assert names(store) == [aside]


def test_a_missing_bucket_is_not_a_missing_object(s3_location: StoreLocation) -> None:
    with pytest.raises(BadInput, match="no bucket 'no-such-bucket'"):
        open_store(s3_location.model_copy(update={"uri": "s3://no-such-bucket/x"})).set_aside("part")


def test_who_may_not_write_is_told_so_and_nothing_moves(through: Through) -> None:
    store, _ = through(always("PUT", "/set-aside/", s3_error(403, "AccessDenied")))
    store.put("part", CONTENT)
    with pytest.raises(AccessDenied):
        store.set_aside("part")
    assert names(store) == ["part"]


def test_a_server_that_answers_the_removal_of_nothing_with_404_has_removed_it(through: Through) -> None:
    store, _ = through(always("DELETE", "/part", s3_error(404, "NoSuchKey")))
    store.delete("part")
