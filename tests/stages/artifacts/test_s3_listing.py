"""A listing is whole and in order, or an error."""

import re
from collections.abc import Callable, Mapping

import pytest
from tests.faults import Altered, Answer, Fault, always
from tests.stages.artifacts.conftest import Through

from selfalign_stages.artifacts.open_store import open_store
from selfalign_stages.contract.exits import BadInput, StageError, Unavailable
from selfalign_stages.contract.task import StoreLocation

NAMES = ["a-b", "a/b", "a/c d+e%20", "a/ä & <ö>", "aa", "b"]


@pytest.fixture
def small_pages(through: Through, monkeypatch: pytest.MonkeyPatch) -> Through:
    """Stores whose listings come in pages of two."""

    def connect(rule: Callable[[str, str, int, Mapping[str, str]], Fault | None]) -> object:
        store, proxy = through(rule)
        client = store._objects.client
        client.meta.events.register(
            "provide-client-params.s3.ListObjectsV2", lambda params, **_: params | {"MaxKeys": 2}
        )
        return store, proxy

    store, _ = through(lambda *_: None)
    for name in NAMES:
        store.put(name, name.encode())
    return connect  # type: ignore[return-value]


def edited(pattern: str, by: str) -> Altered:
    return Altered(lambda body: re.sub(pattern, by, body.decode(), flags=re.S).encode())


def test_pages_are_joined_in_name_order(small_pages: Through) -> None:
    store, proxy = small_pages(lambda *_: None)
    assert [info.name for info in store.list("")] == sorted(NAMES)
    assert proxy.count("GET") == 3
    assert [info.name for info in store.list("a/")] == sorted(name for name in NAMES if name.startswith("a/"))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (edited("<NextContinuationToken>.*</NextContinuationToken>", ""), "no token"),
        (edited("<NextContinuationToken>.*?<", "<NextContinuationToken>same<"), "twice|repeats"),
        (edited("<IsTruncated>true", "<IsTruncated>frue"), "ends, but has a token"),
        (edited("<Key>.*?</Key>", ""), "key ''"),
        (edited("<Size>.*?</Size>", ""), "size -1"),
        (edited("<Key>", "<Key>elsewhere/"), "elsewhere"),
        (edited("<Contents>(.*?)</Contents>", r"<Contents>\1</Contents><Contents>\1</Contents>"), "twice"),
    ],
)
def test_a_listing_that_cannot_be_whole_is_refused(small_pages: Through, fault: Fault, words: str) -> None:
    store, _ = small_pages(always("GET", "list-type=2", fault))
    with pytest.raises(Unavailable, match=words):
        list(store.list(""))


def test_a_page_that_comes_again_and_again_is_refused(small_pages: Through) -> None:
    first: list[bytes] = []

    def same(body: bytes) -> bytes:
        first.append(body)
        return first[0]

    store, proxy = small_pages(always("GET", "list-type=2", Altered(same)))
    with pytest.raises(Unavailable, match="twice"):
        list(store.list(""))
    assert proxy.count("GET") == 2


def test_a_page_without_objects_whose_token_repeats_is_refused(small_pages: Through) -> None:
    empty = edited("<Contents>.*</Contents>", "")
    tokens = iter("abab")

    def page(body: bytes) -> bytes:
        text = re.sub("Token>[^<]+</Next", f"Token>{next(tokens)}</Next", empty.body(body).decode())
        return re.sub("<IsTruncated>false", "<IsTruncated>true", text).encode()

    store, proxy = small_pages(always("GET", "list-type=2", Altered(page)))
    with pytest.raises(Unavailable, match="token"):
        list(store.list(""))
    assert proxy.count("GET") <= 4


def test_an_entry_without_a_tag_is_listed(small_pages: Through) -> None:
    store, _ = small_pages(always("GET", "list-type=2", edited("<ETag>.*?</ETag>", "")))
    assert [(info.name, info.etag) for info in store.list("b")] == [("b", "")]


@pytest.mark.parametrize(
    "page", [b"<html><body>Log in</body></html>", b"<html><br></html>", b"", b"<Error><Code>X</Code></Error>"]
)
def test_what_is_no_listing_is_not_taken_for_an_empty_one(through: Through, page: bytes) -> None:
    store, _ = through(always("GET", "list-type=2", Answer(200, page, {"Content-Type": "text/html"})))
    with pytest.raises(StageError):
        list(store.list(""))


def test_the_empty_objects_that_consoles_show_as_folders_are_left_out(s3_location: StoreLocation) -> None:
    store = open_store(s3_location)
    store.put("a/b", b"content")
    store.put("empty", b"")
    client = store._objects.client  # type: ignore[attr-defined]
    prefix = store.prefix  # type: ignore[attr-defined]
    for key in (f"{prefix}/", f"{prefix}/folder/"):
        client.put_object(Bucket="tests", Key=key, Body=b"")
    assert [info.name for info in store.list("")] == ["a/b", "empty"]


def test_a_store_at_the_root_of_a_bucket_lists_whole_keys(s3_location: StoreLocation) -> None:
    name = s3_location.uri.removeprefix("s3://tests/")
    open_store(s3_location).put("a", b"content")
    store = open_store(s3_location.model_copy(update={"uri": "s3://tests"}))
    assert [info.name for info in store.list(f"{name}/")] == [f"{name}/a"]


def test_a_missing_bucket_has_no_listing(s3_location: StoreLocation) -> None:
    with pytest.raises(BadInput, match="no bucket 'no-such-bucket'"):
        list(open_store(s3_location.model_copy(update={"uri": "s3://no-such-bucket/x"})).list(""))
