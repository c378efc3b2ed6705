"""Training rows of one's own: what a row of such a file is, and which rows the files of a training have."""

from pathlib import Path
from typing import Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from selfalign_stages.contract.graph import EXTRA_ROWS_PREFIX
from selfalign_stages.contract.task import Leaf, StoreLocation, Task
from selfalign_stages.own_rows import reading
from selfalign_stages.own_rows.opening import RowFile
from selfalign_stages.tuning.examples import Pair

FIELDS = {"engraving": "spec.stages.engraving.extraRows", "cloning": "spec.stages.cloning.training.extraRows"}
"""Field of the list of files by stage."""


class ExtraRow(reading.Row):
    """A row: prompt and answer, each under one of the two names that public data sets have for it."""

    instruction: str | None = None
    prompt: str | None = None
    input: str | None = None
    answer: str | None = None
    response: str | None = None

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        for names in (("instruction", "prompt"), ("answer", "response")):
            given = [name for name in names if getattr(self, name) is not None]
            if len(given) != 1:
                problem = (
                    f"has both {' and '.join(names)}: remove one" if given else f"has neither {' nor '.join(names)}"
                )
                raise PydanticCustomError("extra_row", problem)
            if not getattr(self, given[0]).strip():
                raise PydanticCustomError("extra_row", f"{given[0]} is empty: write its text, or remove the row")
        return self

    def pair(self, id_: str) -> Pair:
        """Returns the row as it is trained on, under an id."""
        question = (self.instruction or self.prompt or "").strip()
        material = (self.input or "").strip()
        return Pair(id_, f"{question}\n\n{material}" if material else question, self.answer or self.response or "")


def read(task: Task, *, scratch: Path | None = None) -> list[list[Pair]]:
    """Reads the rows of all files among a step's leaves.

    Args:
        task: the step.
        scratch: folder for downloads.

    Returns:
        Rows by file, in the manifest's order; their ids have the number of the file in that list, and of the line.

    Raises:
        StageError: as `own_rows.reading.read`.
    """
    files = (row_file(name, task.leaves[name], store=task.store) for name in names(task.leaves))
    return [
        [row.pair(f"extra-{position}-{line}") for line, row in reading.read(file, ExtraRow, scratch=scratch)]
        for position, file in enumerate(files)
    ]


def names(leaves: dict[str, Leaf]) -> list[str]:
    """Returns the names of those leaves that are files with extra rows, by stage and in the manifest's order."""
    return sorted((name for name in leaves if name.startswith(EXTRA_ROWS_PREFIX)), key=_place)


def row_file(name: str, leaf: Leaf, *, store: StoreLocation) -> RowFile:
    """Returns the file that a leaf is.

    Args:
        name: name of the leaf.
        leaf: its address, commit and digest.
        store: the run's artifact store.
    """
    stage, number = _place(name)
    return RowFile(name=name, leaf=leaf, field=f"{FIELDS[stage]}[{number}]", store=store)


def _place(name: str) -> tuple[str, int]:
    """Stage and position in its list."""
    stage, number = name.removeprefix(EXTRA_ROWS_PREFIX).split(":")
    return stage, int(number)
