"""A published manifest as the short result that operators read."""

from typing import Literal

from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.task import Result


def result(manifest: Manifest, *, cache: Literal["Hit", "Miss"]) -> Result:
    """The result message of an artifact."""
    return Result(
        key=manifest.key,
        cache=cache,
        digest=manifest.digest,
        counts=manifest.counts,
        metrics=manifest.metrics,
        seconds=manifest.seconds,
    )
