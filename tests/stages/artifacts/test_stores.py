"""The guarantees of every store, tested on a folder and on a real S3 server."""

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests import forgetful_s3, s3_server

from selfalign_stages.artifacts import s3_uploads
from selfalign_stages.artifacts.file_store import FileStore
from selfalign_stages.artifacts.open_store import open_store
from selfalign_stages.artifacts.s3_store import S3Store
from selfalign_stages.contract.exits import AccessDenied, BadInput, Unavailable
from selfalign_stages.contract.task import StoreLocation
from selfalign_stages.step.store import Store


def test_an_object_reads_back_as_it_was_put(store: Store) -> None:
    assert store.put("cas/a/part", b"content")
    with store.open("cas/a/part") as stream:
        assert stream.read() == b"content"


def test_the_first_writer_of_a_name_wins_and_the_second_gets_false(store: Store) -> None:
    assert store.put("name", b"first")
    assert not store.put("name", b"second")
    with store.open("name") as stream:
        assert stream.read() == b"first"


def test_of_sixteen_writers_at_once_exactly_one_wins(store: Store) -> None:
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda n: store.put("race", b"%d" % n), range(16)))
    assert won.count(True) == 1
    with store.open("race") as stream:
        assert stream.read() == b"%d" % won.index(True)


def test_a_missing_object_is_a_missing_file(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        store.open("nothing")


def test_a_listing_holds_names_and_sizes_in_name_order_below_the_prefix(store: Store) -> None:
    for name in ("b/2", "a/1", "b/10", "bb/3"):
        store.put(name, name.encode())
    entries = [(info.name, info.size) for info in store.list("b/")]
    assert entries == [("b/10", 4), ("b/2", 3)]
    assert [info.name for info in store.list("")] == ["a/1", "b/10", "b/2", "bb/3"]


def test_a_file_is_put_once_like_any_object(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "weights"
    source.write_bytes(os.urandom(100_000))
    assert store.put_file("weights", source)
    assert not store.put_file("weights", source)
    with store.open("weights") as stream:
        assert stream.read() == source.read_bytes()


def test_replace_overwrites_and_delete_removes(store: Store) -> None:
    store.replace("report", b"one")
    store.replace("report", b"two")
    with store.open("report") as stream:
        assert stream.read() == b"two"
    store.delete("report")
    store.delete("report")
    assert list(store.list("report")) == []


def test_a_damaged_object_is_set_aside_with_its_bytes(store: Store) -> None:
    store.put("cas/a/part", b"damaged")
    aside = store.set_aside("cas/a/part")
    assert aside is not None and re.fullmatch(r"set-aside/cas/a/part-[0-9a-f]{8}", aside)
    assert [info.name for info in store.list("")] == [aside]
    with store.open(aside) as stream:
        assert stream.read() == b"damaged"
    assert store.put("cas/a/part", b"made anew")


def test_what_is_missing_cannot_be_set_aside(store: Store) -> None:
    assert store.set_aside("nothing") is None


def test_a_probe_of_a_good_store_passes_and_leaves_nothing(store: Store) -> None:
    store.probe()
    assert list(store.list("")) == []


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_server_that_ignores_the_condition_of_a_write_is_detected_by_the_probe(
    s3: s3_server.Server, s3_location: StoreLocation, method: str
) -> None:
    with forgetful_s3.serve(s3, forgets=method) as server:
        store = open_store(s3_location.model_copy(update={"endpoint": server.endpoint}))
        with pytest.raises(BadInput, match=f"{server.endpoint}.* ignores If-None-Match") as refused:
            store.probe()
        assert refused.value.reason == "ConditionalPutUnsupported"
        assert list(store.list("")) == []


def test_probes_at_the_same_time_do_not_disturb_each_other(s3_location: StoreLocation) -> None:
    store = open_store(s3_location)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.probe(), range(64)))
    assert list(store.list("")) == []


def test_a_large_file_goes_up_in_parts_and_only_once(
    s3_location: StoreLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_uploads, "IN_MEMORY", 0)
    monkeypatch.setattr(s3_uploads, "MULTIPART_FROM", 1)
    monkeypatch.setattr(s3_uploads, "PART_BYTES", 5 << 20)
    store, source = S3Store(s3_location), tmp_path / "shard"
    source.write_bytes(os.urandom((12 << 20) + 17))
    assert store.put_file("shard", source)
    assert not store.put_file("shard", source)
    with store.open("shard") as stream:
        assert stream.read() == source.read_bytes()


def test_a_wrong_key_is_access_denied(s3_location: StoreLocation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(AccessDenied, match=r"spec\.artifacts\.secretRef"):
        open_store(s3_location).put("a", b"")


def test_the_message_for_a_missing_bucket_names_it(s3_location: StoreLocation) -> None:
    location = s3_location.model_copy(update={"uri": "s3://no-such-bucket/x"})
    with pytest.raises(BadInput, match="no bucket 'no-such-bucket'"):
        open_store(location).put("a", b"")


@pytest.mark.usefixtures("hasty")
def test_a_server_that_does_not_answer_is_unavailable(s3_location: StoreLocation) -> None:
    location = s3_location.model_copy(update={"endpoint": f"http://127.0.0.1:{s3_server.free_port()}"})
    with pytest.raises(Unavailable):
        open_store(location).put("a", b"")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b"])
def test_no_name_leaves_the_root_of_a_file_store(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        FileStore(tmp_path / "store").put(name, b"")


WRITER = """
import sys
from pathlib import Path
from selfalign_stages.artifacts.file_store import FileStore
store = FileStore(Path(sys.argv[1]))
for number in range(100000):
    store.put(f"part-{number:06d}", b"x" * 50_000)
    if number == 3:
        print("going", flush=True)
"""


def test_a_kill_at_any_moment_leaves_no_torn_object(tmp_path: Path) -> None:
    root = tmp_path / "store"
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(root)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    entries = list(FileStore(root).list(""))
    assert len(entries) >= 4
    assert {info.size for info in entries} == {50_000}
