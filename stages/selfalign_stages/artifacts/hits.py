"""Examines a finished artifact before its step is skipped.

That a manifest exists does not mean that its files do: lifecycle rules, full disks and people remove objects one by
one. One listing shows missing and cut files without reading any. Damage inside a file shows when the file is read
(reading), or by `selfalign verify`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from selfalign_stages.artifacts.checked import Damaged
from selfalign_stages.artifacts.reading import MANIFEST, read_manifest
from selfalign_stages.contract.manifest import ArtifactRef, Manifest
from selfalign_stages.step.store import Store


@dataclass(frozen=True)
class Examined:
    """What the store has of an artifact.

    Attributes:
        manifest: the manifest if the artifact is whole, else None.
        problem: why it is not, for a message; "" if it is whole or was never published.
        unusable: objects to set aside before the artifact is made anew.
    """

    manifest: Manifest | None = None
    problem: str = ""
    unusable: tuple[str, ...] = ()


def examine(store: Store, ref: ArtifactRef) -> Examined:
    """Examines an artifact: its manifest, names and sizes of its files, and whether its inputs are still the same.

    Args:
        store: the artifact's store; nothing is written to it.
        ref: the artifact.
    """
    try:
        manifest = read_manifest(store, ref)
    except Damaged as error:
        return Examined(problem=str(error), unusable=(error.name,))
    if manifest is None:
        return Examined()
    return _files(store, manifest) or _inputs(store, manifest) or Examined(manifest=manifest)


def rejected(store: Store, manifest: Manifest, problem: str) -> Examined:
    """The finding that no file of an artifact may be used.

    Args:
        store: the artifact's store.
        manifest: its manifest.
        problem: why.
    """
    names = [info.name for info in store.list(f"{manifest.ref.prefix}/")]
    return Examined(problem=problem, unusable=tuple(_manifest_first(manifest, names)))


def set_aside(store: Store, examined: Examined) -> None:
    """Moves the unusable objects away, the manifest first: without it the artifact does not exist."""
    for name in examined.unusable:
        store.set_aside(name)


def _files(store: Store, manifest: Manifest) -> Examined | None:
    prefix = f"{manifest.ref.prefix}/"
    sizes = {info.name.removeprefix(prefix): info.size for info in store.list(prefix)}
    wrong = [entry for entry in manifest.files if sizes.get(entry.name) != entry.size]
    if not wrong:
        return None
    first = wrong[0]
    is_now = f"has {sizes[first.name]} of {first.size} bytes" if first.name in sizes else "is missing"
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    stored = [prefix + entry.name for entry in wrong if entry.name in sizes]
    return Examined(problem=f"{prefix}{first.name} {is_now}{more}", unusable=tuple(_manifest_first(manifest, stored)))


def _inputs(store: Store, manifest: Manifest) -> Examined | None:
    for name, source in manifest.inputs.items():
        try:
            current = read_manifest(store, source)
        except Damaged:
            current = None
        # An input that is gone proves nothing: people delete what they no longer need.
        if current is not None and current.digest != source.digest:
            return rejected(
                store, manifest, f"{manifest.ref.prefix}: was made from another {name} than {source.prefix} is now"
            )
    return None


def _manifest_first(manifest: Manifest, names: Sequence[str]) -> list[str]:
    first = f"{manifest.ref.prefix}/{MANIFEST}"
    return [first, *(name for name in names if name != first)]
