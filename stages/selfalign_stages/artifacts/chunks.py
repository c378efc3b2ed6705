"""Generation in chunks of consecutive records, each published exactly once by whichever worker finishes it first.

Exactly-once follows from conditional puts alone, without locks, leases or a coordinator:

1. Record n belongs to chunk n // size, whatever the number of workers, so the records of a chunk are fixed.
2. A chunk is one object under a name that its index determines. Publishing is a put that creates the object only if the
   name is free (If-None-Match in S3, a hard link in a folder). Two workers may compute the same chunk, for instance
   after a restart; the first put succeeds, the second changes nothing.
3. The manifest is written once all chunks exist, from the stored bytes, never from what a worker has in memory.

Between its put and the manifest a chunk vouches for itself (chunk_header). A chunk that does not pass is set aside, and
is then missing like any other that nobody has published.

A worker that dies loses at most the chunks it had not yet published; a rerun computes those alone. The rejected
alternative, appending to one file per worker and merging at the end, leaves torn last lines and depends on the number
of workers.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from selfalign_stages.artifacts import checked, chunk_header, reading, writing
from selfalign_stages.artifacts.checked import Damaged
from selfalign_stages.contract.counts import Counts
from selfalign_stages.contract.exits import Unavailable
from selfalign_stages.contract.manifest import ArtifactRef, FileEntry, Manifest
from selfalign_stages.contract.model import Model, canonical_json, sha256_hex
from selfalign_stages.step.context import StepContext
from selfalign_stages.step.store import SET_ASIDE

LOG = logging.getLogger("selfalign")
Row = TypeVar("Row", bound=Model)


class Chunks(Generic[Row]):
    """The chunks of one step's artifact.

    Args:
        context: the step and this worker's number among its workers.
        model: type of the rows, which must have a field `id`.
        total: number of records of the step.
        size: records per chunk; the last chunk has what remains.
        stem: first part of the chunks' file names. Steps with several rounds use one stem per round.
    """

    def __init__(self, context: StepContext, model: type[Row], *, total: int, size: int, stem: str = "part") -> None:
        self._context, self._model = context, model
        self._total, self._size, self._stem = total, size, stem
        self._ref = ArtifactRef(kind=context.task.kind, key=context.task.key)
        # Digests and not keys alone: an input that was made anew may have other bytes under the same key.
        self._inputs = {name: ref.to_dict() for name, ref in writing.input_refs(context).items()}
        self.count = -(-total // size)

    def records(self, index: int) -> range:
        """Positions of a chunk's records among all records of the step."""
        return range(index * self._size, min((index + 1) * self._size, self._total))

    def present(self) -> set[int]:
        """Indexes of the chunks that are published."""
        names = {info.name for info in self._context.store.list(f"{self._ref.prefix}/{self._stem}-")}
        return {index for index in range(self.count) if self._name(index) in names}

    def missing(self) -> Iterator[int]:
        """Yields the chunks that this worker should compute, until all are published or have been yielded.

        First come the worker's own chunks (index modulo workers), then those that other workers have not published by
        then. A chunk may thus be computed twice at the end of a step, which costs less than waiting for a worker that
        may be dead; `commit` discards the second copy.
        """
        task = self._context.task
        own = [index for index in range(self.count) if index % task.workers == task.worker]
        taken = self._sound()
        for index in own:
            if index not in taken:
                taken.add(index)
                yield index
        # The store is listed before every further chunk, and workers start at different ones, so that few meet.
        while left := sorted(set(range(self.count)) - self.present() - taken):
            index = left[task.worker % len(left)]
            taken.add(index)
            yield index

    def commit(self, index: int, rows: Sequence[Row]) -> None:
        """Publishes a chunk. If another worker published it before, `rows` are discarded.

        Args:
            index: number of the chunk.
            rows: one row per record of the chunk, in order, rejected ones included.
        """
        assert len(rows) == len(self.records(index)), "a chunk holds every one of its records"
        data = chunk_header.add(writing.encode_rows(rows), binding=self._binding(index))
        self._context.store.put(self._name(index), data)

    def finish(self, *, metrics: Mapping[str, float | int | str | bool] | None = None) -> Manifest:
        """Publishes the manifest over all chunks. Every worker may call it; all get the same manifest.

        Args:
            metrics: results of the step, for the run's status.

        Raises:
            FileNotFoundError: a chunk is not published yet.
            Unavailable: as in `rows`.
        """
        entries, counts = self.tally()
        return writing.publish(self._context, entries=entries, counts=counts, metrics=metrics)

    def tally(self) -> tuple[list[FileEntry], Counts]:
        """Reads all chunks back and checks that every record is there exactly once.

        Returns:
            File entries of the chunks, in order, and the counts over all rows, the most frequent reject reason first.

        Raises:
            FileNotFoundError: a chunk is not published yet.
            Unavailable: as in `rows`.
        """
        entries, reasons, ids = [], Counter[str | None](), Counter[str]()
        for index in range(self.count):
            data = self._read(index)
            name = writing.part_name(index, stem=self._stem)
            entries.append(FileEntry(name=name, size=len(data), sha256=sha256_hex(data)))
            for row in reading.decode_rows(data, self._model):
                reasons[getattr(row, "reject", None)] += 1
                ids[str(getattr(row, "id"))] += 1  # noqa: B009 - rows are any model with an id
        assert ids.total() == self._total and len(ids) == self._total, "every record is there exactly once"
        kept = reasons.pop(None, 0)
        rejected = {str(reason): number for reason, number in reasons.most_common()}
        return entries, Counts(rows=self._total, kept=kept, rejected=rejected)

    def rows(self) -> Iterator[Row]:
        """Yields all rows in record order; every chunk must be published.

        Raises:
            FileNotFoundError: a chunk is not published yet.
            Unavailable: a chunk was damaged after this process computed or checked it, and is set aside. Another
                attempt computes that chunk alone.
        """
        for index in range(self.count):
            yield from reading.decode_rows(self._read(index), self._model)

    def _name(self, index: int) -> str:
        return f"{self._ref.prefix}/{writing.part_name(index, stem=self._stem)}"

    def _binding(self, index: int) -> bytes:
        return canonical_json({"name": self._name(index), "inputs": self._inputs})

    def _sound(self) -> set[int]:
        """Indexes of the published chunks that pass; sets the others aside.

        Every chunk of an earlier attempt is read once here. Damage that came to light only at the end of a step would
        need another attempt, and with it another start of the engine.
        """
        sound = self.present()
        for index in sorted(sound):
            try:
                self._checked(index)
            except Damaged as error:
                self._set_aside(error)
                sound.remove(index)
        return sound

    def _read(self, index: int) -> bytes:
        try:
            return self._checked(index)
        except Damaged as error:
            self._set_aside(error)
            raise Unavailable(f"{error}; moved to {SET_ASIDE}/, and computed anew", reason="ChunkDamaged") from error

    def _checked(self, index: int) -> bytes:
        binding = self._binding(index)
        return checked.read(
            self._context.store, self._name(index), lambda data: chunk_header.problem(data, binding=binding)
        )

    def _set_aside(self, error: Damaged) -> None:
        LOG.warning("%s: set aside, and computed anew", error)
        self._context.store.set_aside(error.name)
