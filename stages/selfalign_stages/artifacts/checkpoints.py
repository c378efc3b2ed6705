"""Training checkpoints in the store.

A checkpoint is a folder of objects and a list of them, `complete.json`. The list is written last and removed first, so
that a process that dies while it saves or prunes never leaves one that seems complete and is not: Transformers
would resume from a torn folder and fail, or train on without an optimizer state.

    cas/train/KEY/checkpoints/step-150/0f3a...-model.safetensors
                                       9b1c...-optimizer.pt
                                       complete.json

The list carries a checksum and the digests of the files and of the step's inputs. A checkpoint that differs from its
list is set aside, and the step resumes from the one before.
"""

import logging
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from selfalign_stages.artifacts import checked, writing
from selfalign_stages.artifacts.checked import Damaged
from selfalign_stages.contract import sealed
from selfalign_stages.contract.manifest import ArtifactRef, FileEntry, InputRef
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.paths import check_name, inside
from selfalign_stages.step.context import StepContext

LOG = logging.getLogger("selfalign")
COMPLETE = "complete.json"
"""Name of the file list that makes a checkpoint count."""
KEPT = 2
"""Checkpoints that a running step keeps: the newest, and the one before in case that is damaged."""


class CheckpointFile(FileEntry):
    """One object of a checkpoint: `name` in the store, `path` below the checkpoint's folder."""

    path: Annotated[str, AfterValidator(check_name)]


class Checkpoint(Model):
    """The file list of a checkpoint."""

    step: int
    inputs: dict[str, InputRef]
    files: tuple[CheckpointFile, ...]


class Checkpoints:
    """Checkpoints of one training step, below its artifact's prefix but never among the artifact's files.

    Args:
        context: the training step; its key separates checkpoints of different settings.
    """

    def __init__(self, context: StepContext) -> None:
        self._store = context.store
        self._inputs = writing.input_refs(context)
        self._root = f"{ArtifactRef(kind=context.task.kind, key=context.task.key).prefix}/checkpoints"

    def save(self, step: int, folder: Path) -> None:
        """Uploads a folder as the checkpoint of an optimizer step.

        Args:
            step: number of optimizer steps done, from 1.
            folder: local folder with all files of the checkpoint, nested folders included.
        """
        files = []
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            size, digest = checked.hash_file(path)
            # The digest in the name lets a second attempt save the same step with other bytes: put never overwrites.
            name = f"{digest[:16]}-{path.name}"
            self._store.put_file(self._name(step, name), path)
            relative = path.relative_to(folder).as_posix()
            files.append(CheckpointFile(name=name, size=size, sha256=digest, path=relative))
        listed = Checkpoint(step=step, inputs=self._inputs, files=tuple(files))
        self._store.replace(self._name(step, COMPLETE), sealed.seal(listed.to_dict()))

    def steps(self) -> list[int]:
        """Optimizer steps with a complete checkpoint, oldest first."""
        names = [info.name.split("/") for info in self._store.list(f"{self._root}/")]
        return sorted(int(parts[-2].removeprefix("step-")) for parts in names if parts[-1] == COMPLETE)

    def latest(self, into: Path) -> tuple[int, Path] | None:
        """Downloads and verifies the newest complete checkpoint; sets damaged ones aside and takes the one before.

        Args:
            into: folder in which `checkpoint-STEP` is created, the name that Transformers' Trainer expects.

        Returns:
            The optimizer step and the checkpoint's folder; None if there is no complete checkpoint.
        """
        for step in reversed(self.steps()):
            try:
                return step, self._fetch(step, into / f"checkpoint-{step}")
            except (Damaged, FileNotFoundError) as error:
                LOG.warning("checkpoint of step %s: %s; set aside, resuming from the one before", step, error)
                # The list first: without it the checkpoint no longer counts.
                self._store.set_aside(self._name(step, COMPLETE))
                if isinstance(error, Damaged):
                    self._store.set_aside(error.name)
        return None

    def prune(self, *, keep: int = KEPT) -> None:
        """Deletes all complete checkpoints but the newest `keep`."""
        complete = self.steps()
        for step in complete[: max(len(complete) - keep, 0)]:
            # The list goes first: without it the checkpoint no longer counts, whatever is deleted after it.
            self._store.delete(self._name(step, COMPLETE))
            for info in list(self._store.list(self._name(step, ""))):
                self._store.delete(info.name)

    def _name(self, step: int, name: str) -> str:
        return f"{self._root}/step-{step}/{name}"

    def _fetch(self, step: int, folder: Path) -> Path:
        for file in self._listed(step).files:
            target = inside(folder, file.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            checked.fetch(self._store, self._name(step, file.name), file, target)
        return folder

    def _listed(self, step: int) -> Checkpoint:
        listed: Checkpoint | None = None

        def problem(data: bytes) -> str | None:
            nonlocal listed
            try:
                listed = Checkpoint.model_validate(sealed.unseal(data))
            except ValueError as error:
                return f"is no valid list of files: {error}"
            if (listed.step, listed.inputs) != (step, self._inputs):
                return "belongs to another checkpoint, or to a training on other inputs"
            return None

        checked.read(self._store, self._name(step, COMPLETE), problem)
        assert listed is not None, "a list that passed is parsed"
        return listed
