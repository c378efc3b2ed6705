"""Training checkpoints in the store: a folder and its file list, the list written last."""

import json
from pathlib import Path

from selfalign_stages.artifacts import reading
from selfalign_stages.contract.manifest import ArtifactRef, FileEntry
from selfalign_stages.contract.model import canonical_json
from selfalign_stages.step.context import StepContext

COMPLETE = "complete.json"


class Checkpoints:
    """Checkpoints below the artifact's prefix; never part of its files."""

    def __init__(self, context: StepContext) -> None:
        self._store = context.store
        self._kind = context.task.kind
        self._root = f"{ArtifactRef(kind=context.task.kind, key=context.task.key).prefix}/checkpoints"
        self._key = context.task.key

    def save(self, step: int, folder: Path) -> None:
        """Uploads the folder as the checkpoint of an optimizer step."""
        entries = []
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            size, digest = reading.hash_file(path)
            name = f"{digest[:16]}-{path.name}"
            self._store.put_file(f"{self._root}/step-{step}/{name}", path)
            entries.append({"path": path.relative_to(folder).as_posix(), "name": name, "size": size, "sha256": digest})
        self._store.replace(f"{self._root}/step-{step}/{COMPLETE}", canonical_json(entries))

    def steps(self) -> list[int]:
        """Steps with a complete checkpoint, oldest first."""
        names = [info.name.split("/") for info in self._store.list(f"{self._root}/")]
        return sorted(int(parts[-2].removeprefix("step-")) for parts in names if parts[-1] == COMPLETE)

    def latest(self, into: Path) -> tuple[int, Path] | None:
        """Fetches the newest complete checkpoint, verified."""
        for step in reversed(self.steps()):
            with self._store.open(f"{self._root}/step-{step}/{COMPLETE}") as stream:
                entries = json.load(stream)
            return step, self._fetch(step, entries, into / f"checkpoint-{step}")
        return None

    def prune(self, *, keep: int = 1) -> None:
        """Deletes all but the newest `keep` complete checkpoints and whatever is older; the file list goes first."""
        complete = self.steps()
        for step in complete[: len(complete) - keep]:
            prefix = f"{self._root}/step-{step}/"
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
            reading.check(self._root, file, size=size, sha256=digest)
        return folder
