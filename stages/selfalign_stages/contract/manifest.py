"""The manifest that makes a set of objects an artifact.

It is written last, by a conditional put: while it is missing the artifact does not exist, however many of its files do,
and once it is there it never changes. It lists every file with size and SHA-256, so that readers verify what they read
instead of trusting the store; in that it resembles an OCI image manifest.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from selfalign_stages.contract.graph import Kind
from selfalign_stages.contract.model import Model, canonical_json, sha256_digest


class FileEntry(Model):
    """One object of an artifact."""

    name: str = Field(description="path below the artifact's prefix, with / as separator")
    size: int = Field(ge=0, description="bytes")
    sha256: str = Field(description="of the content, 64 hexadecimal digits")


class Counts(Model):
    """Rows of an artifact by verdict: rows = kept + all rejected."""

    rows: int = Field(default=0, description="rows that the step produced")
    kept: int = Field(default=0, description="rows without a reject reason; later steps read these alone")
    rejected: dict[str, int] = Field(default={}, description="rows by reject reason; a row has one reason at most")


class ArtifactRef(Model):
    """Address of an artifact in any store."""

    kind: Kind
    key: str

    @property
    def prefix(self) -> str:
        """Path of the artifact's folder below the store's root, without a slash at its end."""
        return f"cas/{self.kind}/{self.key}"


class Manifest(Model):
    """What an artifact contains and from what it was made."""

    schema_version: int = 1
    kind: Kind
    step_version: int = Field(description="version of the step kind that made it (contract.graph.KINDS)")
    key: str
    files: tuple[FileEntry, ...]
    counts: Counts = Counts()
    metrics: dict[str, float | int | str | bool] = Field(default={}, description="results of the step, for the status")
    inputs: dict[str, ArtifactRef] = Field(default={}, description="artifacts that were read, by input name")
    leaves: dict[str, str] = Field(default={}, description="digests of what was read from outside the store")
    parameters: dict[str, Any] = Field(default={}, description="resolved parameters of the step")
    seed: int
    versions: dict[str, str] = Field(default={}, description="installed versions of packages that decide the bytes")
    seconds: float = Field(default=0, description="wall time of the process that published it")

    @property
    def ref(self) -> ArtifactRef:
        """Address of the artifact."""
        return ArtifactRef(kind=self.kind, key=self.key)

    @property
    def digest(self) -> str:
        """Digest of the content alone: equal for equal files, whichever run or release produced them."""
        return sha256_digest(canonical_json([entry.to_dict() for entry in self.files]))


OTHER_REASONS = "other-reasons"
"""Under which the rarest reject reasons are added up where there is no room for all of them."""


def most_frequent(rejected: Mapping[str, int], keep: int) -> dict[str, int]:
    """Shortens counts by reject reason without losing a row.

    Args:
        rejected: rows by reason; it may have been shortened before.
        keep: reasons to keep.

    Returns:
        The `keep` most frequent reasons, and the rows of all others under OTHER_REASONS; all reasons if they fit.
    """
    if len(rejected) <= keep:
        return dict(rejected)
    ranked = sorted(rejected.items(), key=lambda item: (item[0] == OTHER_REASONS, -item[1], item[0]))
    return dict(ranked[:keep]) | {OTHER_REASONS: sum(rows for _, rows in ranked[keep:])}
