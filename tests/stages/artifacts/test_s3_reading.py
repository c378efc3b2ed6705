"""A stream of an S3 object has all of its bytes, or raises; breaks on the way are mended by asking for the rest."""

import gzip
import os
from collections.abc import Callable
from typing import BinaryIO

import pytest
from tests.faults import (
    Altered,
    Answer,
    Cut,
    Dropped,
    Fault,
    Shortened,
    Slow,
    Stale,
    Stalled,
    Unstated,
    always,
    in_turn,
    s3_error,
)
from tests.stages.artifacts.conftest import Through

from selfalign_stages.artifacts import s3_reading
from selfalign_stages.artifacts.open_store import open_store
from selfalign_stages.contract.exits import AccessDenied, BadInput, Unavailable
from selfalign_stages.contract.task import StoreLocation

CONTENT = os.urandom(3_000_000)


@pytest.fixture(autouse=True)
def _stored(s3_location: StoreLocation) -> None:
    open_store(s3_location).put("part", CONTENT)


def whole(stream: BinaryIO) -> bytes:
    return stream.read()


def in_blocks(stream: BinaryIO) -> bytes:
    return b"".join(iter(lambda: stream.read(70_000), b""))


READERS = [whole, in_blocks]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("fault", [Cut(0), Cut(1_000_001), Cut(2_999_999, reset=True), Stalled(1000), Dropped()])
def test_a_break_is_mended_by_asking_for_the_rest(
    through: Through, fault: Fault, read: Callable[[BinaryIO], bytes]
) -> None:
    store, proxy = through(in_turn("GET", "/part", fault))
    with store.open("part") as stream:
        assert read(stream) == CONTENT
    assert proxy.count("GET") == 2


def test_only_what_is_missing_is_asked_for_and_only_of_the_same_object(through: Through) -> None:
    store, proxy = through(in_turn("GET", "/part", Cut(1_234_567)))
    with store.open("part") as stream:
        stream.read()
    resumed = proxy.requests[1].headers
    assert resumed["range"] == "bytes=1234567-"
    assert resumed["if-match"]


def test_a_server_that_ignores_ranges_has_its_first_bytes_skipped(through: Through) -> None:
    store, _ = through(in_turn("GET", "/part", Cut(1_234_567), Stale()))
    with store.open("part") as stream:
        assert stream.read() == CONTENT


def test_breaks_that_follow_each_other_are_all_mended_while_there_is_progress(
    through: Through, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_reading, "PROGRESS", 100_000)
    store, proxy = through(always("GET", "/part", Cut(150_000)))
    with store.open("part") as stream:
        assert stream.read() == CONTENT
    assert proxy.count("GET") == 20


@pytest.mark.parametrize("read", READERS)
def test_an_object_that_always_breaks_off_is_unavailable_and_never_short(
    through: Through, read: Callable[[BinaryIO], bytes]
) -> None:
    store, proxy = through(always("GET", "/part", Cut(10)))
    with store.open("part") as stream:
        with pytest.raises(Unavailable, match=r"s3://tests/.*/part at http://.* byte 60 of 3000000"):
            read(stream)
        # A reader that goes on after the error gets no end of the object either.
        with pytest.raises(Unavailable):
            read(stream)
    assert proxy.count("GET") == 1 + s3_reading.RESUMES


def test_an_object_that_is_replaced_between_two_requests_is_unavailable(
    through: Through, s3_location: StoreLocation
) -> None:
    store, _ = through(in_turn("GET", "/part", Cut(10)))
    with store.open("part") as stream:
        open_store(s3_location).replace("part", os.urandom(3_000_000))
        with pytest.raises(Unavailable, match="was replaced while it was read"):
            stream.read()


def test_an_object_that_is_deleted_between_two_requests_is_missing(
    through: Through, s3_location: StoreLocation
) -> None:
    store, _ = through(in_turn("GET", "/part", Cut(10)))
    with store.open("part") as stream:
        open_store(s3_location).delete("part")
        with pytest.raises(FileNotFoundError):
            stream.read()


@pytest.mark.parametrize(
    "answer",
    [
        Altered(lambda body: body, {"Content-Range": "bytes 7-2999999/3000000"}),
        Altered(lambda body: body, {"Content-Range": "bytes 10-2999999/4000000"}),
        Altered(lambda body: body, {"Content-Range": "nonsense"}),
        Altered(lambda body: body, {"ETag": '"another"'}),
    ],
)
def test_the_rest_of_something_else_is_refused(through: Through, answer: Fault) -> None:
    store, _ = through(in_turn("GET", "/part", Cut(10), answer))
    with store.open("part") as stream, pytest.raises(Unavailable):
        stream.read()


def test_errors_in_the_middle_are_those_of_opening(through: Through) -> None:
    store, _ = through(in_turn("GET", "/part", Cut(10), s3_error(403, "AccessDenied")))
    with store.open("part") as stream, pytest.raises(AccessDenied, match=r"spec\.artifacts\.secretRef"):
        stream.read()


def test_a_slow_server_is_read_to_the_end(through: Through) -> None:
    store, _ = through(always("GET", "/part", Slow(100_000)))
    with store.open("part") as stream:
        assert stream.read() == CONTENT


def test_a_shorter_rest_than_announced_is_asked_for_once_more(through: Through) -> None:
    store, proxy = through(in_turn("GET", "/part", Cut(10), Shortened(to=1000)))
    with store.open("part") as stream:
        assert stream.read() == CONTENT
    assert proxy.count("GET") == 3


@pytest.mark.parametrize("answer", [Unstated(), Unstated(after=1000)])
def test_an_answer_without_a_length_ends_where_the_object_does(through: Through, answer: Fault) -> None:
    store, _ = through(in_turn("GET", "/part", answer))
    with store.open("part") as stream:
        assert stream.read() == CONTENT


@pytest.mark.parametrize("content", [b"", b"x", os.urandom(70_000)])
def test_objects_of_any_size_read_back(s3_location: StoreLocation, content: bytes) -> None:
    store = open_store(s3_location)
    store.put("other", content)
    for read in READERS:
        with store.open("other") as stream:
            assert read(stream) == content
            assert read(stream) == b""


def test_compressed_bytes_are_not_decompressed_on_the_way(s3_location: StoreLocation) -> None:
    packed = gzip.compress(CONTENT[:1000])
    store = open_store(s3_location)
    store.put("packed", packed)
    with store.open("packed") as stream:
        assert stream.read() == packed


def test_a_login_page_is_no_object(through: Through) -> None:
    page = Answer(200, b"<html><body>Log in</body></html>", {"Content-Type": "text/html"})
    store, _ = through(always("GET", "/part", page))
    with pytest.raises(BadInput, match=r"web page.*spec\.artifacts\.endpoint") as refused:
        store.open("part")
    assert refused.value.reason == "NotS3"
