"""Training checkpoints in the store.

A checkpoint is a folder of objects and a list of them, `complete.json`. The list is written last and removed first, so
that a process that dies while it saves or prunes never leaves one that seems complete and is not: Transformers
would resume from a torn folder and fail, or train on without an optimizer state.

    cas/train/KEY/checkpoints/step-150/0f3a...-model.safetensors
                                       9b1c...-optimizer.pt
                                       complete.json
"""

import json
from pathlib import Path

from selfalign_stages.artifacts import reading
from selfalign_stages.contract.manifest import ArtifactRef, FileEntry
from selfalign_stages.contract.model import canonical_json
from selfalign_stages.step.context import StepContext

COMPLETE = "complete.json"
"""Name of the file list that makes a checkpoint count."""


class Checkpoints:
    """Checkpoints of one training step, below its artifact's prefix but never among the artifact's files.

    Args:
        context: the training step; its key separates checkpoints of different settings.
    """

    def __init__(self, context: StepContext) -> None:
        self._store = context.store
        self._root = f"{ArtifactRef(kind=context.task.kind, key=context.task.key).prefix}/checkpoints"

    def save(self, step: int, folder: Path) -> None:
        """Uploads a folder as the checkpoint of an optimizer step.

        Args:
            step: number of optimizer steps done, from 1.
            folder: local folder with all files of the checkpoint, nested folders included.
        """
        entries = []
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            size, digest = reading.hash_file(path)
            # The digest in the name lets a second attempt save the same step with other bytes: put never overwrites.
            name = f"{digest[:16]}-{path.name}"
            self._store.put_file(f"{self._root}/step-{step}/{name}", path)
            entries.append({"path": path.relative_to(folder).as_posix(), "name": name, "size": size, "sha256": digest})
        self._store.replace(f"{self._root}/step-{step}/{COMPLETE}", canonical_json(entries))

    def steps(self) -> list[int]:
        """Optimizer steps with a complete checkpoint, oldest first."""
        names = [info.name.split("/") for info in self._store.list(f"{self._root}/")]
        return sorted(int(parts[-2].removeprefix("step-")) for parts in names if parts[-1] == COMPLETE)

    def latest(self, into: Path) -> tuple[int, Path] | None:
        """Downloads and verifies the newest complete checkpoint.

        Args:
            into: folder in which `checkpoint-STEP` is created, the name that Transformers' Trainer expects.

        Returns:
            The optimizer step and the checkpoint's folder; None if there is no complete checkpoint.

        Raises:
            BadInput: an object differs from the list. Deleting the checkpoint lets the step resume from an older one.
        """
        for step in reversed(self.steps()):
            with self._store.open(f"{self._root}/step-{step}/{COMPLETE}") as stream:
                entries = json.load(stream)
            return step, self._fetch(step, entries, into / f"checkpoint-{step}")
        return None

    def prune(self, *, keep: int = 1) -> None:
        """Deletes all complete checkpoints but the newest `keep`."""
        complete = self.steps()
        for step in complete[: len(complete) - keep]:
            prefix = f"{self._root}/step-{step}/"
            # The list goes first: without it the checkpoint no longer counts, whatever is deleted after it.
            self._store.delete(prefix + COMPLETE)
            for info in list(self._store.list(prefix)):
                self._store.delete(info.name)

    def _fetch(self, step: int, entries: list[dict[str, str]], folder: Path) -> Path:
        for entry in entries:
            target = folder / entry["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._store.open(f"{self._root}/step-{step}/{entry['name']}") as source, target.open("wb") as sink:
                size, digest = reading.copy_hashing(source, sink)
            file = FileEntry(name=entry["name"], size=int(entry["size"]), sha256=entry["sha256"])
            reading.verify(self._root, file, size=size, sha256=digest)
        return folder
