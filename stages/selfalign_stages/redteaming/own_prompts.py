"""Prompts of one's own: what a row of such a file is, and which prompts the files of a run have."""

from pathlib import Path
from typing import Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from selfalign_stages.contract.graph import PROMPT_SOURCE_PREFIX
from selfalign_stages.contract.rows import Prompt
from selfalign_stages.contract.task import Leaf, StoreLocation, Task
from selfalign_stages.own_rows import reading
from selfalign_stages.own_rows.opening import RowFile

FIELD = "spec.stages.redTeaming.promptSources"
"""Field of the list of files."""


class OwnPrompt(reading.Row):
    """A row: the text as `instruction` or as `prompt`, as public data sets have it, and what it applies to."""

    instruction: str | None = None
    prompt: str | None = None
    input: str | None = None

    @model_validator(mode="after")
    def _one_text(self) -> Self:
        texts = {"instruction": self.instruction, "prompt": self.prompt}
        given = {name: text for name, text in texts.items() if text is not None}
        if len(given) != 1:
            problem = "has both instruction and prompt: remove one" if given else "has neither instruction nor prompt"
            raise PydanticCustomError("own_prompt", f"{problem}; the text is in one of these columns")
        (name,) = given
        if not self.text:
            raise PydanticCustomError("own_prompt", f"{name} is empty: write its text, or remove the row")
        return self

    @property
    def text(self) -> str:
        """The instruction, without blanks around it."""
        return (self.instruction or self.prompt or "").strip()


def read(task: Task, *, scratch: Path | None = None) -> list[list[Prompt]]:
    """Reads the prompts of all files among a step's leaves.

    Args:
        task: the step.
        scratch: folder for downloads.

    Returns:
        Prompts by file, in the manifest's order; their ids have the number of the file in that list, and of the line.

    Raises:
        StageError: as `own_rows.reading.read`.
    """
    names = sorted((name for name in task.leaves if name.startswith(PROMPT_SOURCE_PREFIX)), key=number)
    return [_prompts(row_file(name, task.leaves[name], store=task.store), number(name), scratch) for name in names]


def row_file(name: str, leaf: Leaf, *, store: StoreLocation) -> RowFile:
    """Returns the file that a leaf is.

    Args:
        name: name of the leaf.
        leaf: its address, commit and digest.
        store: the run's artifact store.
    """
    return RowFile(name=name, leaf=leaf, field=f"{FIELD}[{number(name)}]", store=store)


def number(name: str) -> int:
    """Returns the position of a leaf's file in the manifest's list."""
    return int(name.removeprefix(PROMPT_SOURCE_PREFIX))


def _prompts(file: RowFile, position: int, scratch: Path | None) -> list[Prompt]:
    return [
        Prompt(id=f"own-{position}-{line}", instruction=row.text, input=(row.input or "").strip(), source="own")
        for line, row in reading.read(file, OwnPrompt, scratch=scratch)
    ]
