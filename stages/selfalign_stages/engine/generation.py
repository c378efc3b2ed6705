"""Drives an engine over chunks: keeps it fed across chunk borders and commits each chunk when its last record ends."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from selfalign_stages.artifacts.chunks import Chunks
from selfalign_stages.contract.model import Model
from selfalign_stages.engine.interface import Completion, Decoding, Engine, Request
from selfalign_stages.step.context import StepContext

Row = TypeVar("Row", bound=Model)


def run(
    context: StepContext,
    engine: Callable[[], Engine],
    chunks: Chunks[Row],
    *,
    request: Callable[[int], Request],
    row: Callable[[int, Completion], Row],
    decoding: Decoding,
    deterministic: bool = False,
) -> None:
    """Generates all missing chunks. `request` and `row` go by record position; the engine is opened only if needed.

    In deterministic mode a chunk is generated alone from an empty prefix cache, so that its bytes do not depend on
    what ran before it in the process: batch composition changes an engine's last bits.
    """
    missing = chunks.missing()
    first = next(missing, None)
    if first is None:
        return
    loaded = engine()
    indexes = _chain(first, missing)
    for group in ([index] for index in indexes) if deterministic else (indexes,):
        _run_group(context, loaded, chunks, group, request=request, row=row, decoding=decoding, fresh=deterministic)


def _chain(first: int, rest: Iterator[int]) -> Iterator[int]:
    yield first
    yield from rest


def _run_group(
    context: StepContext,
    engine: Engine,
    chunks: Chunks[Row],
    indexes: Iterator[int] | Sequence[int],
    *,
    request: Callable[[int], Request],
    row: Callable[[int, Completion], Row],
    decoding: Decoding,
    fresh: bool,
) -> None:
    places: list[tuple[int, int]] = []
    open_chunks: dict[int, dict[int, Row]] = {}

    def draw() -> Iterator[Request]:
        for index in indexes:
            open_chunks[index] = {}
            for record in chunks.records(index):
                places.append((index, record))
                yield request(record)

    for position, completion in engine.stream(draw(), decoding, fresh=fresh):
        context.check_stop()
        index, record = places[position]
        open_chunks[index][record] = row(record, completion)
        context.progress.advance()
        if len(open_chunks[index]) == len(chunks.records(index)):
            rows = open_chunks.pop(index)
            chunks.commit(index, [rows[record] for record in chunks.records(index)])
