"""Step import: copies the base model's wanted files into the store, verified, file by file so that a kill loses one."""

import json
import os
import re
from pathlib import Path

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.artifacts.store import Store
from selfalign_stages.base import architectures, checks, sources
from selfalign_stages.base.sources import Source, SourceFile
from selfalign_stages.context import StepContext
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.manifest import ArtifactRef, FileEntry, Manifest
from selfalign_stages.contract.task import Leaf


def run(context: StepContext) -> Manifest:
    """Publishes the model's files and source.json, which tells where they came from and their licence."""
    leaf = context.task.leaves["baseModel"]
    source = sources.open_source(leaf)
    verdict, digest, small = inspect(source, leaf)
    if verdict.problems:
        raise BadInput(f"spec.baseModel.uri {leaf.uri!r}: " + "; ".join(verdict.problems), reason="BaseModelUnfit")
    if leaf.digest and leaf.digest != digest:
        raise BadInput(
            f"spec.baseModel.uri {leaf.uri!r}: its files changed since preflight, from {leaf.digest} to {digest}; "
            "run again",
            reason="LeafChanged",
        )
    context.progress.begin(sum(file.size for file in verdict.files), unit="bytes")
    entries = [_import(context, source, file) for file in verdict.files]
    record = {"uri": leaf.uri, "revision": leaf.revision, "digest": digest, "license": license_name(small)}
    return writing.publish(
        context,
        files={"source.json": json.dumps(record, sort_keys=True).encode()},
        entries=entries,
        metrics={"bytes": sum(entry.size for entry in entries), "license": record["license"] or "unknown"},
    )


def inspect(source: Source, leaf: Leaf) -> tuple[checks.Verdict, str, dict[str, bytes]]:
    """Verdict, fingerprint over the wanted files, and the small files that both were read from."""
    listing = source.listing()
    small = {file.path: source.read(file.path) for file in listing if file.path in checks.SMALL}
    verdict = checks.judge(listing, small, name=leaf.uri, architectures=architectures.known())
    return verdict, sources.fingerprint(list(verdict.files)), small


def license_name(small: dict[str, bytes]) -> str | None:
    """The `license` of the model card's front matter."""
    match = re.search(rb"\A---\n(?:.*\n)*?license:\s*(\S+)", small.get("README.md", b""))
    return match.group(1).decode(errors="replace") if match else None


def _import(context: StepContext, source: Source, file: SourceFile) -> FileEntry:
    context.check_stop()
    name = f"{ArtifactRef(kind=context.task.kind, key=context.task.key).prefix}/{file.path}"
    entry = _stored(context.store, name, file)
    if entry is None:
        target = context.scratch / "file"
        source.fetch(file.path, target)
        size, digest = reading.hash_file(target)
        if sources.is_sha256(file.mark) and digest != file.mark:
            raise BadInput(f"spec.baseModel.uri: {file.path} has sha256 {digest}, its source says {file.mark}")
        _check_weights(target, file.path)
        context.store.put_file(name, target)
        entry = FileEntry(name=file.path, size=size, sha256=digest)
        os.unlink(target)
    context.progress.advance(file.size)
    return entry


def _stored(store: Store, name: str, file: SourceFile) -> FileEntry | None:
    """What an earlier attempt left, if it is that file whole."""
    if not any(info.name == name for info in store.list(name)) or not sources.is_sha256(file.mark):
        return None
    if writing.stored_digest(store, name) != file.mark:
        return None
    return FileEntry(name=file.path, size=file.size, sha256=file.mark)


def _check_weights(path: Path, name: str) -> None:
    """Opens a safetensors file, whose reader refuses overlapping or dangling offsets."""
    if not name.endswith(".safetensors"):
        return
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):
            pass
    except SafetensorError as error:
        raise BadInput(
            f"spec.baseModel.uri: {name}: is no whole safetensors file: {error}", reason="BaseModelUnfit"
        ) from error
