"""Every kind of read and write of an S3 store under every kind of fault, at many positions.

What is read is what was written, or an error: 0 wrong bytes are accepted. `make faults` runs all positions.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests import fault_proxy, s3_server
from tests.faults import (
    Altered,
    Cut,
    Dropped,
    Fault,
    Repeated,
    Rule,
    Shortened,
    Slow,
    Stale,
    Stalled,
    Unstated,
    Wrong,
    always,
    in_turn,
    s3_error,
)
from tests.scale import scaled

from selfalign_stages.artifacts import checked, s3_uploads
from selfalign_stages.artifacts.s3_store import S3Store
from selfalign_stages.contract.exits import StageError
from selfalign_stages.contract.model import sha256_hex
from selfalign_stages.contract.task import StoreLocation

SIZE = 300_000
CONTENT, OLD = os.urandom(SIZE), os.urandom(SIZE)
POSITIONS = scaled([0, 1, 65_536, SIZE - 1], [0, 1, 2, *range(1000, SIZE, 7919), 65_535, 65_536, 65_537, SIZE - 1])


class Harness:
    """One proxy and one client for a whole matrix, because both are slow to make; the rule changes."""

    def __init__(self, s3: s3_server.Server, location: StoreLocation) -> None:
        self.rule: Rule = lambda *_: None
        self.serving: AbstractContextManager[fault_proxy.Proxy] = fault_proxy.serve(
            s3.endpoint, lambda *request: self.rule(*request)
        )
        self.direct = S3Store(location)
        self._names = iter(range(1_000_000))

    def name(self) -> str:
        return f"object-{next(self._names):06d}"

    def content(self, name: str) -> bytes | None:
        """What the server has, None for nothing."""
        try:
            with self.direct.open(name) as stream:
                return stream.read()
        except FileNotFoundError:
            return None


@pytest.fixture
def harness(s3: s3_server.Server, s3_location: StoreLocation, hasty: None) -> Iterator[tuple[Harness, S3Store]]:
    made = Harness(s3, s3_location)
    with made.serving as proxy:
        yield made, S3Store(s3_location.model_copy(update={"endpoint": proxy.endpoint}))


def read_whole(store: S3Store, name: str) -> bytes:
    with store.open(name) as stream:
        return stream.read()


def read_in_blocks(store: S3Store, name: str) -> bytes:
    with store.open(name) as stream:
        return b"".join(iter(lambda: stream.read(10_000), b""))


def test_bytes_that_change_on_the_way_are_never_accepted_by_the_reading_layer(
    harness: tuple[Harness, S3Store],
) -> None:
    made, store = harness
    name = made.name()
    made.direct.put(name, CONTENT)

    def problem(data: bytes) -> str | None:
        return None if sha256_hex(data) == sha256_hex(CONTENT) else "differs"

    for position in POSITIONS:
        for fault in (Wrong(position), Shortened(position), Unstated(position), Altered(lambda body: OLD)):
            made.rule = in_turn("GET", name, fault)
            assert checked.read(store, name, problem) == CONTENT
        made.rule = always("GET", name, Wrong(position))
        with pytest.raises((checked.Damaged, StageError)):
            checked.read(store, name, problem)


BREAKS: dict[str, Callable[[int], Fault]] = {
    "cut": Cut,
    "reset": lambda at: Cut(at, reset=True),
    "without a length": Unstated,
    "dropped": lambda at: Dropped(),
    "slow": lambda at: Slow(piece=at // 10 + 5000),
    "repeated": lambda at: Repeated(),
    "throttled": lambda at: s3_error(503, "SlowDown"),
}


@pytest.mark.parametrize("read", [read_whole, read_in_blocks])
def test_a_read_that_is_disturbed_once_is_mended(
    harness: tuple[Harness, S3Store], read: Callable[[S3Store, str], bytes]
) -> None:
    made, store = harness
    name = made.name()
    made.direct.put(name, CONTENT)
    for kind, fault in BREAKS.items():
        for position in POSITIONS:
            made.rule = in_turn("GET", name, fault(position))
            assert read(store, name) == CONTENT, (kind, position)
    # Each costs a timeout of the client.
    for position in scaled([1000], [0, 1, 1000, SIZE - 1]):
        made.rule = in_turn("GET", name, Stalled(position))
        assert read(store, name) == CONTENT, ("stalled", position)


@pytest.mark.parametrize("read", [read_whole, read_in_blocks])
def test_a_read_that_is_disturbed_again_and_again_is_whole_or_an_error(
    harness: tuple[Harness, S3Store], read: Callable[[S3Store, str], bytes]
) -> None:
    made, store = harness
    name = made.name()
    made.direct.put(name, CONTENT)
    outcomes = set()
    for kind, fault in BREAKS.items():
        for position in POSITIONS[::2]:
            made.rule = always("GET", name, fault(position))
            try:
                assert read(store, name) == CONTENT, (kind, position)
                outcomes.add("whole")
            except StageError:
                outcomes.add("error")
    assert outcomes == {"whole", "error"}


def test_a_read_that_resumes_into_another_state_of_the_object_never_mixes_the_two(
    harness: tuple[Harness, S3Store],
) -> None:
    made, store = harness
    for position in POSITIONS:
        name = made.name()
        made.direct.put(name, OLD)
        made.rule = in_turn("GET", name, Cut(position), Stale())
        with store.open(name) as stream:
            made.direct.replace(name, CONTENT)
            assert stream.read() == OLD  # an old copy of all of it, as a cache may have
        made.rule = in_turn("GET", name, Cut(position))
        made.direct.replace(name, OLD)
        with store.open(name) as stream:
            made.direct.replace(name, CONTENT)
            with pytest.raises(StageError):
                stream.read()


WRITES: dict[str, Callable[[int], Fault]] = {
    "lost": lambda at: Dropped(),
    "answer lost": lambda at: Dropped(forwarded=True),
    "answer cut": lambda at: Cut(at % 50),
    "repeated": lambda at: Repeated(),
    "changed": lambda at: Wrong(at=at, sent=True),
    "throttled": lambda at: s3_error(503, "SlowDown"),
    "failed after the fact": lambda at: s3_error(500, "InternalError", forwarded=True),
    "conflict": lambda at: s3_error(409, "ConditionalRequestConflict"),
    "forbidden": lambda at: s3_error(403, "AccessDenied"),
}


@pytest.mark.parametrize("often", ["once", "always"])
@pytest.mark.parametrize("how", ["put", "replace", "a file", "a streamed file"])
def test_a_write_that_is_disturbed_stores_all_or_nothing_and_tells_the_truth(
    harness: tuple[Harness, S3Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, often: str
) -> None:
    made, store = harness
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    monkeypatch.setattr(s3_uploads, "IN_MEMORY", SIZE if how == "a file" else 0)
    for kind, fault in WRITES.items():
        for position in scaled([SIZE - 1], POSITIONS):
            name = made.name()
            rule = in_turn if often == "once" else always
            made.rule = rule("PUT", name, fault(position))
            written = None
            try:
                if how == "replace":
                    store.replace(name, CONTENT)
                    written = True
                else:
                    written = store.put(name, CONTENT) if how == "put" else store.put_file(name, path)
            except StageError:
                pass
            content = made.content(name)
            # False says that there is an object. Nothing else than these bytes was ever sent.
            assert content == CONTENT if written is not None else content in (None, CONTENT), (kind, position)
            assert written is not None or often == "always" or kind == "forbidden", (kind, position)


@pytest.mark.parametrize("step", ["uploads=", "partNumber=1", "partNumber=3", "uploadId"])
def test_an_upload_in_parts_that_is_disturbed_stores_all_or_nothing(
    harness: tuple[Harness, S3Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    made, store = harness
    monkeypatch.setattr(s3_uploads, "IN_MEMORY", 0)
    monkeypatch.setattr(s3_uploads, "MULTIPART_FROM", 1)
    monkeypatch.setattr(s3_uploads, "PART_BYTES", 5 << 20)
    content = os.urandom((10 << 20) + 1)
    path = tmp_path / "file"
    path.write_bytes(content)
    method = "PUT" if step.startswith("part") else "POST"
    some = scaled([dict(list(WRITES.items())[n :: len(WRITES)]) for n in (1, 5)], [WRITES])
    for kinds in some:
        for kind, fault in kinds.items():
            for often in (in_turn, always):
                name = made.name()
                made.rule = often(method, step, fault(99))
                try:
                    store.put_file(name, path)
                except StageError:
                    assert made.content(name) in (None, content), (kind, often.__name__)
                else:
                    assert made.content(name) == content, (kind, often.__name__)


def test_a_move_that_is_disturbed_never_loses_the_bytes(harness: tuple[Harness, S3Store]) -> None:
    made, store = harness
    steps = [("HEAD", ""), ("PUT", "set-aside"), ("DELETE", "")]
    for method, within in steps:
        for kind, fault in WRITES.items():
            for often in scaled((in_turn,), (in_turn, always)):
                name = made.name()
                made.direct.put(name, CONTENT)
                made.rule = often(method, within, fault(0))
                try:
                    store.set_aside(name)
                except StageError:
                    pass
                kept = [made.content(name)]
                kept += [made.content(info.name) for info in made.direct.list(f"set-aside/{name}-")]
                assert CONTENT in kept, (method, kind)


@pytest.mark.parametrize("position", POSITIONS)
def test_a_listing_that_is_cut_or_changed_is_whole_or_an_error(harness: tuple[Harness, S3Store], position: int) -> None:
    made, store = harness
    names = [f"folder/{number}" for number in range(5)]
    for name in names:
        made.direct.put(name, b"x")
    for fault in (Cut(position % 1500), Shortened(position % 1500), Dropped(), Repeated(), Slow(100)):
        made.rule = always("GET", "list-type", fault)
        try:
            assert [info.name for info in store.list("folder/")] == names
        except StageError:
            continue
