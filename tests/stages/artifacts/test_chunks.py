"""Chunks: every record is published exactly once, whichever workers compute, die or overlap."""

from pathlib import Path
from random import Random

import pytest
from tests.steps_support import context

from selfalign_stages.artifacts import reading
from selfalign_stages.artifacts.chunks import Chunks
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
