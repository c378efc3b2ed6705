"""The manifest that makes an artifact: written last, by a conditional put, and read back with its digests."""

from typing import Any

from pydantic import Field

from selfalign_stages.contract.graph import Kind
from selfalign_stages.contract.model import Model, canonical_json, sha256_digest


class FileEntry(Model):
    """One object of an artifact, named relative to the artifact's prefix."""

    name: str
    size: int = Field(ge=0)
    sha256: str


class Counts(Model):
    """Records in, kept, and rejected by reason; every record is in exactly one of the latter."""

    rows: int = 0
    kept: int = 0
    rejected: dict[str, int] = {}


class ArtifactRef(Model):
    """Where an artifact lies under a store's root."""

    kind: Kind
    key: str

    @property
    def prefix(self) -> str:
        """Path of the artifact's folder below the store's root, without a slash at its end."""
        return f"cas/{self.kind}/{self.key}"


class Manifest(Model):
    """What an artifact holds and from what it was made."""

    schema_version: int = 1
    kind: Kind
    step_version: int
    key: str
    files: tuple[FileEntry, ...]
    counts: Counts = Counts()
    metrics: dict[str, float | int | str | bool] = {}
    inputs: dict[str, ArtifactRef] = {}
    leaves: dict[str, str] = {}
    parameters: dict[str, Any] = {}
    seed: int
    versions: dict[str, str] = {}
    seconds: float = Field(default=0, description="wall time of the process that published it")

    @property
    def ref(self) -> ArtifactRef:
        """The artifact's place in the store."""
        return ArtifactRef(kind=self.kind, key=self.key)

    @property
    def digest(self) -> str:
        """Digest of the content alone: equal for equal files, whenever and by whomever they were made."""
        return sha256_digest(canonical_json([entry.to_dict() for entry in self.files]))
