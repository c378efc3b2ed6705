"""The manifest that makes a set of objects an artifact.

It is written last, by a conditional put: while it is missing the artifact does not exist, however many of its files do,
and once it is there it never changes. It lists every file with size and SHA-256, so that readers verify what they read
instead of trusting the store; in that it resembles an OCI image manifest.

It also names the artifact to which it belongs, and the content of every input. A manifest that lies under another key,
or whose inputs were made anew with other bytes since, therefore does not pass for what it is not.
"""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field

from selfalign_stages.contract import sealed
from selfalign_stages.contract.counts import Counts
from selfalign_stages.contract.graph import Kind
from selfalign_stages.contract.model import Model, canonical_json, sha256_digest
from selfalign_stages.contract.paths import check_name

DIGEST_PREFIX = 12
"""Hexadecimal digits that tell two objects of one file name apart: 48 bits, for a handful of attempts."""


class FileEntry(Model):
    """One object of an artifact."""

    name: Annotated[str, AfterValidator(check_name)] = Field(
        description="path below the artifact's prefix, with / as separator"
    )
    size: int = Field(ge=0, description="bytes")
    sha256: str = Field(description="of the content, 64 hexadecimal digits")

    @property
    def renamed(self) -> str:
        """Path of the object where other bytes, of a dead attempt or damaged, have the file's own."""
        folder, slash, last = self.name.rpartition("/")
        return f"{folder}{slash}{self.sha256[:DIGEST_PREFIX]}-{last}"

    @property
    def file_name(self) -> str:
        """Path that the step gave the file, whatever its object is called."""
        folder, slash, last = self.name.rpartition("/")
        return f"{folder}{slash}{last.removeprefix(f'{self.sha256[:DIGEST_PREFIX]}-')}"


class ArtifactRef(Model):
    """Address of an artifact in any store."""

    kind: Kind
    key: str

    @property
    def prefix(self) -> str:
        """Path of the artifact's folder below the store's root, without a slash at its end."""
        return f"cas/{self.kind}/{self.key}"


class InputRef(ArtifactRef):
    """An artifact that a step has read."""

    digest: str = Field(description="Manifest.digest of the artifact when it was read")


class Manifest(Model):
    """What an artifact contains and from what it was made."""

    schema_version: int = 2
    kind: Kind
    step_version: int = Field(description="version of the step kind that made it (contract.graph.KINDS)")
    key: str
    files: tuple[FileEntry, ...]
    counts: Counts = Counts()
    metrics: dict[str, float | int | str | bool] = Field(default={}, description="results of the step, for the status")
    inputs: dict[str, InputRef] = Field(default={}, description="artifacts that were read, by input name")
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

    def encode(self) -> bytes:
        """The manifest as it is stored: canonical JSON with a checksum."""
        return sealed.seal(self.to_dict())

    @classmethod
    def decode(cls, data: bytes, ref: ArtifactRef) -> Self:
        """Parses a stored manifest.

        Args:
            data: what `encode` returned.
            ref: the artifact in whose folder it lies.

        Raises:
            ValueError: it is damaged, of another release, or belongs to another artifact.
        """
        manifest = cls.model_validate(sealed.unseal(data))
        if (manifest.kind, manifest.key) != (ref.kind, ref.key):
            raise ValueError(f"belongs to {manifest.ref.prefix}: it was copied or moved here")
        return manifest
