"""Step import: copies the needed files of the base model into the artifact store and verifies them.

All other steps read the model from the store alone, so that a run neither depends on the Hub for days nor reads a
folder that changes meanwhile. Models are large and imports get interrupted: every file is published under its final
name as soon as it is verified, and a rerun keeps the files that are complete. The artifact exists only with its
manifest, which is published last.
"""

import json
from typing import Any

from selfalign_stages.artifacts import writing
from selfalign_stages.base_model import identity, inspection, open_source, sources
from selfalign_stages.base_model.copying import Copier
from selfalign_stages.base_model.identity import matches as matches
from selfalign_stages.base_model.inspection import Inspection
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.task import Leaf
from selfalign_stages.step.context import StepContext


def run(context: StepContext) -> Manifest:
    """Publishes the model's files, and source.json with its origin, digest and licence. Metrics: bytes, license.

    Raises:
        BadInput: the model is unfit, changed since preflight, or is not what its source lists.
        DoesNotFit: the scratch folder or the store has no space for a file.
        Unavailable: a download arrives damaged each time; it is retried.
        Interrupted: the step was stopped between two files.
    """
    leaf = context.task.leaves[BASE_MODEL]
    source = open_source.open_source(leaf, store=context.task.store)
    model = inspection.inspect(source, leaf)
    if model.fitness.problems:
        problems = "; ".join(model.fitness.problems)
        raise BadInput(f"spec.baseModel.uri {leaf.uri!r}: {problems}", reason="BaseModelUnfit")
    _check_unchanged(leaf, model.digest)
    copier = Copier(context, source, model)
    entries = copier.copy_files()
    # Only a SHA-256 can be compared with the bytes that were copied. For ETags, an unchanged listing after the copy
    # shows that no object was replaced while it ran.
    if not all(sources.is_sha256(file.content_id) for file in model.model_files):
        pinned = leaf.model_copy(update={"digest": model.digest})
        _check_unchanged(pinned, inspection.inspect(source, leaf).digest)
    manifest = writing.publish(
        context,
        files={identity.ORIGIN: json.dumps(_origin(leaf, model), sort_keys=True).encode()},
        entries=entries,
        metrics={"bytes": model.size_bytes, "license": model.license or "unknown"},
    )
    copier.remove_records()
    return manifest


def _origin(leaf: Leaf, model: Inspection) -> dict[str, Any]:
    origin = {"uri": leaf.uri, "revision": leaf.revision, "digest": model.digest, "license": model.license}
    etags = identity.etags(model.model_files)
    return origin | ({identity.ETAGS: etags} if etags else {})


def _check_unchanged(leaf: Leaf, digest: str) -> None:
    """Raises BadInput unless `digest` is the one that preflight computed; without preflight there is none."""
    if leaf.digest and leaf.digest != digest:
        raise BadInput(
            f"spec.baseModel.uri {leaf.uri!r}: its files changed since preflight, from {leaf.digest} to {digest}; "
            "run again",
            reason="LeafChanged",
        )
