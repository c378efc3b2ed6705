"""Generation in chunks of consecutive records: each committed once, by whichever worker gets there first."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.contract.manifest import ArtifactRef, Counts, FileEntry, Manifest
from selfalign_stages.contract.model import Model, sha256_hex
from selfalign_stages.step.context import StepContext

Row = TypeVar("Row", bound=Model)


class Chunks(Generic[Row]):
    """`total` records in parts of `size`; rows must carry an `id`."""

    def __init__(self, context: StepContext, model: type[Row], *, total: int, size: int, stem: str = "part") -> None:
        self._context, self._model = context, model
        self._total, self._size, self._stem = total, size, stem
        self._ref = ArtifactRef(kind=context.task.kind, key=context.task.key)
        self.count = -(-total // size)

    def records(self, index: int) -> range:
        """Positions of the chunk's records."""
        return range(index * self._size, min((index + 1) * self._size, self._total))

    def present(self) -> set[int]:
        """Chunks that are committed."""
        names = {info.name for info in self._context.store.list(f"{self._ref.prefix}/{self._stem}-")}
        return {index for index in range(self.count) if self._name(index) in names}

    def missing(self) -> Iterator[int]:
        """Chunks to do: this worker's own first, then whatever others have not done by then."""
        task = self._context.task
        own = [index for index in range(self.count) if index % task.workers == task.worker]
        taken = self.present()
        for index in own:
            if index not in taken:
                taken.add(index)
                yield index
        while left := sorted(set(range(self.count)) - self.present() - taken):
            taken.add(left[task.worker % len(left)])
            yield left[task.worker % len(left)]

    def commit(self, index: int, rows: Sequence[Row]) -> None:
        """Publishes a chunk; if another worker was first, its rows stand."""
        assert len(rows) == len(self.records(index)), "a chunk holds every one of its records"
        self._context.store.put(self._name(index), writing.encode_rows(rows))

    def finish(self, *, metrics: Mapping[str, float | int | str | bool] | None = None) -> Manifest:
        """Reads all parts back, checks that every record is there exactly once, and publishes the manifest."""
        entries, counts = self.tally()
        return writing.publish(self._context, entries=entries, counts=counts, metrics=metrics)

    def tally(self) -> tuple[list[FileEntry], Counts]:
        """Entries of all parts and the counts over their rows."""
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
        """All records in order, once every chunk is present."""
        for index in range(self.count):
            yield from reading.decode_rows(self._read(index), self._model)

    def _name(self, index: int) -> str:
        return f"{self._ref.prefix}/{writing.part_name(index, stem=self._stem)}"

    def _read(self, index: int) -> bytes:
        with self._context.store.open(self._name(index)) as stream:
            return stream.read()
