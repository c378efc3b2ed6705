"""Chunks: every record is published exactly once, whichever workers compute, die or overlap."""

import shutil
from pathlib import Path
from random import Random

import pytest
import zstandard
from tests import fuzzing
from tests.scale import scaled
from tests.stages.artifacts import damages
from tests.steps_support import artifact, context

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.artifacts.chunks import Chunks
from selfalign_stages.contract.exits import Unavailable
from selfalign_stages.contract.rows import Draft


def rows(chunks: Chunks[Draft], index: int, *, text: str = "same") -> list[Draft]:
    return [Draft(id=f"r-{n}", text=f"{text} {n}", finish_reason="stop") for n in chunks.records(index)]


def worker(folder: Path, number: int = 0, *, of: int = 1) -> Chunks[Draft]:
    made = context(folder, "answers", worker=number, workers=of)
    return Chunks(made, Draft, total=1050, size=100)


def test_the_last_chunk_holds_the_rest(tmp_path: Path) -> None:
    assert worker(tmp_path).count == 11
    assert worker(tmp_path).records(10) == range(1000, 1050)


def test_a_rerun_computes_only_the_missing_chunks(tmp_path: Path) -> None:
    chunks = worker(tmp_path)
    for index in (0, 3, 10):
        chunks.commit(index, rows(chunks, index))
    assert list(worker(tmp_path).missing()) == [1, 2, 4, 5, 6, 7, 8, 9]


def test_the_first_commit_of_a_chunk_stands(tmp_path: Path) -> None:
    chunks = worker(tmp_path)
    chunks.commit(0, rows(chunks, 0, text="first"))
    chunks.commit(0, rows(chunks, 0, text="second"))
    for index in range(1, chunks.count):
        chunks.commit(index, rows(chunks, index))
    assert next(iter(chunks.rows())).text == "first 0"


@pytest.mark.parametrize("seed", range(8))
def test_workers_that_come_and_go_leave_every_record_exactly_once(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    workers = [worker(tmp_path, n, of=3) for n in range(3)]
    todo = [w.missing() for w in workers]
    alive = [0, 1, 2]
    while alive:
        number = random.choice(alive)
        index = next(todo[number], None)
        if index is None:
            alive.remove(number)
        elif random.random() < 0.2:  # killed before its commit, and restarted
            todo[number] = worker(tmp_path, number, of=3).missing()
        else:
            workers[number].commit(index, rows(workers[number], index))
    manifest = workers[0].finish()
    ids = [row.id for row in reading.rows(context(tmp_path, "answers").store, manifest, Draft)]
    assert ids == [f"r-{n}" for n in range(1050)]
    assert workers[1].finish() == manifest


def test_a_chunk_must_hold_all_its_records(tmp_path: Path) -> None:
    chunks = worker(tmp_path)
    with pytest.raises(AssertionError):
        chunks.commit(0, rows(chunks, 0)[:-1])


def half_done(folder: Path) -> Path:
    """Chunks 0 to 5 of 11 are published; returns their folder."""
    chunks = worker(folder)
    for index in range(6):
        chunks.commit(index, rows(chunks, index))
    return folder / "store" / "cas" / "answers" / ("0" * 64)


def test_no_bit_of_a_committed_chunk_can_change_without_notice(tmp_path: Path) -> None:
    victim = half_done(tmp_path) / "part-00003.jsonl.zst"
    good = victim.read_bytes()
    chunks = worker(tmp_path)
    for bit in range(0, len(good) * 8, scaled(151, 1)):
        victim.write_bytes(damages.flipped(good, bit))
        with pytest.raises(Unavailable, match=r"part-00003.*computed anew"):
            list(chunks.rows())
        assert not victim.exists()
    assert 3 in set(worker(tmp_path).missing())


@pytest.mark.parametrize("damage", ["flip", "truncate", "extend", "empty"])
def test_a_rerun_computes_damaged_chunks_anew_and_keeps_the_others(damage: str, tmp_path: Path) -> None:
    folder = half_done(tmp_path)
    damaged = damages.apply(folder / "part-00002.jsonl.zst", damage)
    rerun = worker(tmp_path)
    for index in rerun.missing():
        assert index == 2 or index > 5
        rerun.commit(index, rows(rerun, index))
    fresh = worker(tmp_path / "fresh")
    for index in fresh.missing():
        fresh.commit(index, rows(fresh, index))
    assert rerun.finish().digest == fresh.finish().digest
    assert [path.read_bytes() for path in damages.set_aside(tmp_path / "store")] == [damaged]


def test_a_chunk_under_another_name_does_not_pass(tmp_path: Path) -> None:
    folder = half_done(tmp_path)
    shutil.copy(folder / "part-00001.jsonl.zst", folder / "part-00004.jsonl.zst")
    assert 4 in set(worker(tmp_path).missing())


def test_chunks_from_an_input_that_was_made_anew_with_other_rows_do_not_pass(tmp_path: Path) -> None:
    prompts = artifact(tmp_path, "prompts", [])
    made = context(tmp_path, "answers", inputs={"prompts": prompts})
    chunks = Chunks(made, Draft, total=1050, size=100)
    chunks.commit(0, rows(chunks, 0))
    assert 0 not in set(Chunks(made, Draft, total=1050, size=100).missing())
    shutil.rmtree(tmp_path / "store" / prompts.prefix)
    artifact(tmp_path, "prompts", [Draft(id="r", text="other", finish_reason="stop")])
    assert 0 in set(Chunks(made, Draft, total=1050, size=100).missing())


def test_any_zstd_decoder_reads_a_chunk(tmp_path: Path) -> None:
    data = (half_done(tmp_path) / "part-00000.jsonl.zst").read_bytes()
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        assert len(reader.read().splitlines()) == 100


def test_no_bytes_make_the_reader_of_rows_fail_in_another_way(tmp_path: Path) -> None:
    good = (half_done(tmp_path) / "part-00000.jsonl.zst").read_bytes()
    plain = writing.encode_rows([Draft(id="r", text="x", finish_reason="stop")] * 3)
    random = Random(12)
    untyped = []
    for number in range(scaled(300, 100_000)):
        data = fuzzing.mutated(random.choice((good, plain)), random)
        if number % 3 == 0:
            data = zstandard.ZstdCompressor().compress(fuzzing.mutated(b'{"id":"r","text":"x"}\n' * 5, random))
        try:
            list(reading.decode_rows(data, Draft))
        except ValueError:
            pass
        except Exception as error:
            untyped.append((data, error))
    assert untyped == []
