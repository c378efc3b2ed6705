"""Generates the records of a step with an engine, and commits them chunk by chunk.

Requests are drawn across chunk borders: while the longest completions of one chunk are still running, the engine
already works on the next, so its batch never drains. Chunk by chunk would be simpler, but the device would idle at
every border. A chunk is committed as soon as its last record is complete; a preempted worker loses the chunks in
flight and nothing else.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from selfalign_stages.artifacts.chunks import Chunks
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.parameters import Sampling
from selfalign_stages.engine.interface import Completion, Decoding, Engine, Request, seed_for
from selfalign_stages.step.context import StepContext

Row = TypeVar("Row", bound=Model)


class GenerationSettings(Protocol):
    """The parameters that all generating steps have in common."""

    @property
    def sampling(self) -> Sampling:
        """Temperature, nucleus mass and token limit."""

    @property
    def deterministic(self) -> bool:
        """Whether a rerun on the same hardware must give the same bytes."""


def generate(
    context: StepContext,
    engine: Callable[[], Engine],
    chunks: Chunks[Row],
    settings: GenerationSettings,
    *,
    prompt: Callable[[int], str],
    seed_name: Callable[[int], str],
    row: Callable[[int, Completion], Row],
    stop: tuple[str, ...] = (),
    ignore_eos: bool = False,
) -> None:
    """Generates the missing chunks of a step, every record with a sampling seed of its own.

    Args:
        context: the step; its key and seed enter the sampling seeds.
        engine: returns the engine; called only if a chunk is missing.
        chunks: the records to generate and where they are committed.
        settings: the step's parameters.
        prompt: maps the position of a record to its prompt.
        seed_name: maps the position of a record to its name in `seed_for`, unique within the step. It must not
            depend on chunk size or worker, or a rerun with other settings would sample differently.
        row: maps position and completion to the row that is stored.
        stop: stop strings of the prompt format.
        ignore_eos: see `Decoding`.

    Raises:
        Interrupted: SIGTERM arrived; the committed chunks remain and a rerun continues after them.
    """
    key, seed = context.task.key, context.task.seed
    run(
        context,
        engine,
        chunks,
        request=lambda record: Request(prompt=prompt(record), seed=seed_for(key, seed_name(record), seed=seed)),
        row=row,
        decoding=Decoding.from_sampling(settings.sampling, stop=stop, ignore_eos=ignore_eos),
        deterministic=settings.deterministic,
    )


def committed_records(chunks: Chunks[Row]) -> int:
    """Counts the records of the chunks that an earlier attempt or another worker has committed."""
    return sum(len(chunks.records(index)) for index in chunks.present())


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
    """Generates the missing chunks from ready-made requests; `generate` is the usual entry point.

    Args:
        context: receives progress, and is checked for a stop request after every completion.
        engine: returns the engine; called only if a chunk is missing.
        chunks: the records to generate and where they are committed.
        request: maps the position of a record to its request.
        row: maps position and completion to the row that is stored.
        decoding: applies to all requests.
        deterministic: generates each chunk alone, from an empty prefix cache. Batch composition changes the last
            bits of the logits, so otherwise a chunk's text depends on what ran beside and before it.

    Raises:
        Interrupted: a stop was requested; the committed chunks remain and a rerun continues after them.
    """
    missing = chunks.missing()
    first = next(missing, None)
    if first is None:
        return
    loaded = engine()
    indexes = itertools.chain([first], missing)
    groups: Iterable[Iterable[int]] = ([index] for index in indexes) if deterministic else (indexes,)
    for group in groups:
        _run_group(context, loaded, chunks, group, request=request, row=row, decoding=decoding, fresh=deterministic)


def _run_group(
    context: StepContext,
    engine: Engine,
    chunks: Chunks[Row],
    indexes: Iterable[int],
    *,
    request: Callable[[int], Request],
    row: Callable[[int, Completion], Row],
    decoding: Decoding,
    fresh: bool,
) -> None:
    """Generates chunks in one stream of requests and commits each when its last record is complete."""
    drawn: list[tuple[int, int]] = []  # (chunk, record) of every request, by its position in the stream
    unfinished: dict[int, dict[int, Row]] = {}  # rows by record, of the chunks that wait for further completions

    def draw() -> Iterator[Request]:
        for index in indexes:
            unfinished[index] = {}
            for record in chunks.records(index):
                drawn.append((index, record))
                yield request(record)

    for position, completion in engine.stream(draw(), decoding, fresh=fresh):
        context.check_stop()
        index, record = drawn[position]
        unfinished[index][record] = row(record, completion)
        context.progress.advance()
        if len(unfinished[index]) == len(chunks.records(index)):
            rows = unfinished.pop(index)
            # Completions end out of order; the file has them in record order, whatever the engine's speed.
            chunks.commit(index, [rows[record] for record in chunks.records(index)])
