"""A conditional write has a clear outcome whatever happens on the way, and needs little memory."""

import os
import tracemalloc
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests import forgetful_s3, s3_server
from tests.faults import Altered, Answer, Dropped, Fault, Repeated, Wrong, always, in_turn, s3_error
from tests.stages.artifacts.conftest import Through

from selfalign_stages.artifacts import s3_uploads
from selfalign_stages.artifacts.open_store import open_store
from selfalign_stages.artifacts.s3_store import S3Store
from selfalign_stages.contract.exits import AccessDenied, BadInput, Unavailable
from selfalign_stages.contract.task import StoreLocation

MIB = 1 << 20
CONFLICT = s3_error(409, "ConditionalRequestConflict")


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "shard"
    path.write_bytes(os.urandom(11 * MIB + 17))
    return path


@pytest.fixture
def three_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_uploads, "IN_MEMORY", 0)
    monkeypatch.setattr(s3_uploads, "MULTIPART_FROM", 1)
    monkeypatch.setattr(s3_uploads, "PART_BYTES", 5 * MIB)


def stored(location: StoreLocation, name: str) -> bytes:
    with open_store(location).open(name) as stream:
        return stream.read()


def test_a_write_that_always_collides_is_unavailable_while_there_is_no_object(
    through: Through, s3_location: StoreLocation
) -> None:
    store, proxy = through(always("PUT", "/part", CONFLICT))
    with pytest.raises(Unavailable, match=r"s3://tests/.*/part at .*ConditionalRequestConflict"):
        store.put("part", b"mine")
    assert proxy.count("PUT") == s3_uploads.CONFLICT_ATTEMPTS
    assert list(open_store(s3_location).list("")) == []


def test_an_object_with_a_longer_name_is_not_taken_for_the_one_that_collided(
    through: Through, s3_location: StoreLocation
) -> None:
    open_store(s3_location).put("part-2", b"another object")
    store, _ = through(always("PUT", "/part", CONFLICT))
    with pytest.raises(Unavailable):
        store.put("part", b"mine")


def test_a_write_that_collides_with_one_that_succeeds_is_not_repeated(
    through: Through, s3_location: StoreLocation
) -> None:
    open_store(s3_location).put("part", b"theirs")
    store, proxy = through(always("PUT", "/part", CONFLICT))
    assert not store.put("part", b"mine")
    assert proxy.count("PUT") == 1


def test_a_write_that_collides_once_is_repeated(through: Through, s3_location: StoreLocation) -> None:
    store, _ = through(in_turn("PUT", "/part", CONFLICT))
    assert store.put("part", b"mine")
    assert stored(s3_location, "part") == b"mine"


@pytest.mark.parametrize("fault", [Dropped(forwarded=True), Repeated(), s3_error(500, "InternalError", forwarded=True)])
def test_a_write_whose_answer_is_lost_leaves_the_object_and_says_that_it_exists(
    through: Through, s3_location: StoreLocation, fault: Fault
) -> None:
    store, _ = through(in_turn("PUT", "/part", fault))
    assert not store.put("part", b"mine")
    assert stored(s3_location, "part") == b"mine"


# A POST with an uploadId is CompleteMultipartUpload.
LOST = [Dropped(forwarded=True), Repeated(), s3_error(500, "InternalError", forwarded=True)]


@pytest.mark.usefixtures("three_parts")
@pytest.mark.parametrize("fault", LOST)
def test_an_upload_whose_last_answer_is_lost_is_complete(
    through: Through, s3_location: StoreLocation, shard: Path, fault: Fault
) -> None:
    store, _ = through(in_turn("POST", "uploadId", fault))
    # This server answers the second request like the first, and others with 404 or 412.
    store.put_file("shard", shard)
    assert stored(s3_location, "shard") == shard.read_bytes()


@pytest.mark.usefixtures("three_parts")
def test_an_upload_that_the_server_has_completed_and_forgotten_is_said_to_exist(
    through: Through, s3_location: StoreLocation, shard: Path
) -> None:
    store, _ = through(in_turn("POST", "uploadId", s3_error(404, "NoSuchUpload", forwarded=True)))
    assert not store.put_file("shard", shard)
    assert stored(s3_location, "shard") == shard.read_bytes()


@pytest.mark.usefixtures("three_parts")
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_an_upload_that_the_server_drops_is_made_anew_or_unavailable(
    through: Through, s3_location: StoreLocation, shard: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    gone = s3_error(404, "NoSuchUpload")
    store, _ = through(in_turn(method, "uploadId", gone))
    assert store.put_file("once", shard)
    assert stored(s3_location, "once") == shard.read_bytes()
    monkeypatch.setattr(s3_uploads, "CONFLICT_ATTEMPTS", 2)
    store, _ = through(always(method, "uploadId", gone))
    with pytest.raises(Unavailable, match="NoSuchUpload"):
        store.put_file("always", shard)


@pytest.mark.usefixtures("three_parts")
@pytest.mark.parametrize("fault", [Dropped(), Dropped(forwarded=True), Wrong(at=99, sent=True), Repeated()])
def test_a_part_that_does_not_arrive_is_sent_again(
    through: Through, s3_location: StoreLocation, shard: Path, fault: Fault
) -> None:
    store, _ = through(in_turn("PUT", "partNumber=2", fault))
    assert store.put_file("shard", shard)
    assert stored(s3_location, "shard") == shard.read_bytes()


def test_bytes_that_change_on_the_way_to_the_server_are_sent_again(
    through: Through, s3_location: StoreLocation
) -> None:
    store, proxy = through(in_turn("PUT", "/part", Wrong(at=3, sent=True)))
    assert store.put("part", b"0123456789")
    assert proxy.count("PUT") == 2
    assert stored(s3_location, "part") == b"0123456789"


def test_the_error_of_a_part_is_raised_and_not_that_of_cleaning_up(
    through: Through, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, three_parts: None
) -> None:
    monkeypatch.setattr(s3_uploads, "PART_BYTES", 10_000)
    path = tmp_path / "file"
    path.write_bytes(bytes(1_000_000))

    def rule(method: str, path: str, number: int, headers: Mapping[str, str]) -> Fault | None:
        denied = s3_error(403, "AccessDenied") if "partNumber=1&" in path + "&" else None
        return Dropped() if method == "DELETE" else denied

    monkeypatch.setattr(s3_uploads, "part_size", lambda size: 10_000)
    store, proxy = through(rule)
    with pytest.raises(AccessDenied):
        store.put_file("file", path)
    # The other parts of a large file do not go up first.
    assert proxy.count("PUT") < 100
    assert proxy.count("DELETE")


def test_files_on_both_sides_of_each_threshold_arrive(s3_location: StoreLocation, tmp_path: Path) -> None:
    store = open_store(s3_location)
    for size in (0, 1, s3_uploads.IN_MEMORY, s3_uploads.IN_MEMORY + 1):
        path = tmp_path / str(size)
        path.write_bytes(os.urandom(size))
        assert store.put_file(f"file-{size}", path)
        assert stored(s3_location, f"file-{size}") == path.read_bytes()


def test_large_files_that_go_up_side_by_side_are_not_held_in_memory(
    s3_location: StoreLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_uploads, "MULTIPART_FROM", 16 * MIB)
    monkeypatch.setattr(s3_uploads, "part_size", lambda size: 8 * MIB)
    path = tmp_path / "file"
    path.write_bytes(bytes(20 * MIB))
    single = tmp_path / "single"
    single.write_bytes(bytes(15 * MIB))
    store = open_store(s3_location)
    store.put("first", b"")  # imports and caches of the client are not of the upload
    tracemalloc.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            files = (path, single, path, single)
            assert all(pool.map(lambda n: store.put_file(f"file-{n}", files[n]), range(4)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # One MiB for each request in flight, and not 62 MiB of bodies.
    assert peak < 24 * MIB


@pytest.mark.parametrize("size", [0, 1, 64 * MIB, 10_000 * s3_uploads.PART_BYTES, (5 << 40) - 1, 5 << 40])
def test_a_file_of_any_size_has_parts_that_s3_takes(size: int) -> None:
    part = s3_uploads.part_size(size)
    assert -(-size // part) <= 10_000
    assert 5 * MIB <= part <= 5 << 30


@pytest.mark.usefixtures("hasty")
def test_a_write_to_what_is_no_bucket_names_the_address(through: Through, s3_location: StoreLocation) -> None:
    store, _ = through(always("PUT", "/part", Answer(404)))
    with pytest.raises(BadInput, match=r"no such bucket, or no S3 server; correct spec\.artifacts\.uri"):
        store.put("part", b"")
    with pytest.raises(BadInput, match=r"spec\.artifacts\.uri"):
        store.replace("part", b"")


def test_a_page_that_answers_a_write_is_no_success(through: Through) -> None:
    store, _ = through(always("PUT", "/part", Answer(200, b"", {"Content-Type": "text/html"})))
    with pytest.raises(BadInput, match="web page"):
        store.put("part", b"mine")


def test_a_server_with_wrong_memory_is_found_by_the_probe(through: Through, s3_location: StoreLocation) -> None:
    store, _ = through(always("GET", "/probe/", Wrong(at=5)))
    with pytest.raises(BadInput, match=r"spec\.artifacts\.endpoint .*returned 1000 or other ones") as refused:
        store.probe()
    assert refused.value.reason == "StoreReturnsOtherBytes"
    assert list(open_store(s3_location).list("")) == []


@pytest.mark.parametrize("refusal", [s3_error(501, "NotImplemented"), s3_error(400, "InvalidArgument")])
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_server_that_refuses_conditions_is_found_by_the_probe(
    through: Through, s3_location: StoreLocation, method: str, refusal: Fault
) -> None:
    def rule(verb: str, path: str, number: int, headers: Mapping[str, str]) -> Fault | None:
        return refusal if verb == method and "if-none-match" in headers else None

    store, _ = through(rule)
    with pytest.raises(BadInput, match=r"spec\.artifacts\.endpoint .*refuses writes with If-None-Match") as refused:
        store.probe()
    assert refused.value.reason == "ConditionalPutUnsupported"
    assert list(open_store(s3_location).list("")) == []


@pytest.mark.usefixtures("hasty")
def test_another_server_heals_what_the_probe_found(s3: s3_server.Server, s3_location: StoreLocation) -> None:
    with forgetful_s3.serve(s3) as server, pytest.raises(BadInput, match="use one with conditional writes"):
        open_store(s3_location.model_copy(update={"endpoint": server.endpoint})).probe()
    S3Store(s3_location).probe()


def test_what_a_failed_probe_cannot_remove_does_not_hide_why_it_failed(through: Through) -> None:
    def rule(verb: str, path: str, number: int, headers: Mapping[str, str]) -> Fault | None:
        faults: dict[str, Fault] = {"GET": Altered(lambda body: body[:9]), "DELETE": s3_error(403, "AccessDenied")}
        return faults.get(verb)

    store, _ = through(rule)
    with pytest.raises(BadInput, match="returned 9"):
        store.probe()
