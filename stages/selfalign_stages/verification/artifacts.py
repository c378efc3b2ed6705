"""Verifies artifacts of a store: of one run, step by step, or of a whole folder.

A run checks its finished artifacts only by name and size, since reading all of them would cost as much as copying
them. Here every byte is read and compared.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from selfalign_stages import steps
from selfalign_stages.artifacts import checked
from selfalign_stages.artifacts.checked import Damaged
from selfalign_stages.artifacts.file_store import FileStore
from selfalign_stages.artifacts.open_store import open_store
from selfalign_stages.artifacts.reading import LARGE_THREADS, MANIFEST
from selfalign_stages.contract import graph
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.manifest import ArtifactRef, FileEntry
from selfalign_stages.contract.task import PreflightTask
from selfalign_stages.preflight.check import resolve_leaves
from selfalign_stages.preflight.findings import Findings
from selfalign_stages.step.store import Store


@dataclass(frozen=True)
class Verdict:
    """What the verification of one artifact or image found.

    Attributes:
        name: id of the step that makes it; for an artifact of a folder its path, for an image its reference.
        files: number of files that were read.
        size: their bytes.
        problems: one line for each object that is damaged or missing, beginning with its name.
        unusable: names of damaged objects in the store.
        missing: the artifact was never published, or its manifest was deleted.
    """

    name: str
    files: int = 0
    size: int = 0
    problems: tuple[str, ...] = ()
    unusable: tuple[str, ...] = ()
    missing: bool = False


def verify_run(task: PreflightTask) -> Iterator[tuple[Store, Verdict]]:
    """Verifies the artifacts of a run, in the order of its steps.

    Args:
        task: the run's preflight task. Its leaves are read, because the artifacts' keys depend on their digests.

    Raises:
        BadInput: a leaf cannot be read; the message lists all problems.
        StageError: the store, hub or bucket denies access or is down.
    """
    findings = Findings()
    leaves, _ = resolve_leaves(task, findings)
    findings.raise_unavailable()
    if leaves.keys() != task.leaves.keys():
        lines = "\n".join(problem.line for problem in findings.problems)
        raise BadInput(f"the artifacts of this run cannot be named without its inputs:\n{lines}")
    store = open_store(task.store)
    keys = graph.keys(task.steps, leaves=leaves, seed=task.seed)
    for step in task.steps:
        yield store, _verify(store, step.id, ArtifactRef(kind=step.kind, key=keys[step.id]), leaves)


def verify_folder(folder: Path) -> Iterator[tuple[Store, Verdict]]:
    """Verifies all artifacts of a store in a folder, whichever runs made them.

    Raises:
        BadInput: the folder contains no artifacts.
    """
    root = next((path for path in (folder, folder / "store") if (path / "cas").is_dir()), None)
    if root is None:
        raise BadInput(
            f"{folder}: is neither an artifact store, nor a --workdir with one, nor an image layout; give one of "
            "these, a run manifest, or an image reference"
        )
    store = FileStore(root)
    parents = sorted(path.parent.relative_to(root / "cas") for path in (root / "cas").glob(f"*/*/{MANIFEST}"))
    for kind, key in (path.parts for path in parents):
        if kind in graph.KINDS:
            ref = ArtifactRef.model_validate({"kind": kind, "key": key})
            yield store, _verify(store, ref.prefix, ref, {})


def _verify(store: Store, name: str, ref: ArtifactRef, leaves: dict[str, str]) -> Verdict:
    examined = steps.examine(store, ref, leaves=leaves)
    manifest = examined.manifest
    if manifest is None:
        problems = (examined.problem,) if examined.problem else ()
        return Verdict(name, problems=problems, unusable=examined.unusable, missing=not problems)
    with ThreadPoolExecutor(LARGE_THREADS) as pool:
        found = [damage for damage in pool.map(partial(_damage, store, ref), manifest.files) if damage is not None]
    return Verdict(
        name,
        files=len(manifest.files),
        size=sum(entry.size for entry in manifest.files),
        problems=tuple(problem for _, problem in found),
        unusable=tuple(damaged for damaged, _ in found),
    )


def _damage(store: Store, ref: ArtifactRef, entry: FileEntry) -> tuple[str, str] | None:
    """Reads a file; its name and what is wrong with it, None if nothing is."""
    name = f"{ref.prefix}/{entry.name}"
    try:
        checked.measure(store, name, entry)
    except Damaged as error:
        return name, str(error)
    except FileNotFoundError:
        return name, f"{name}: is missing"
    return None
