"""s3:// base models, through the same client as s3:// artifact stores."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from selfalign_stages.artifacts.reading import copy_hashing
from selfalign_stages.artifacts.s3_store import S3Store
from selfalign_stages.base.sources import SourceFile
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.task import StoreLocation


@dataclass(frozen=True)
class BucketSource:
    """Objects below a prefix; S3 knows no SHA-256, so the mark is the ETag."""

    store: S3Store
    uri: str

    @classmethod
    def of(cls, uri: str) -> Self:
        """The source at s3://bucket/prefix; endpoint and region come from the environment."""
        location = StoreLocation(
            uri=uri, endpoint=os.environ.get("AWS_ENDPOINT_URL"), region=os.environ.get("AWS_REGION")
        )
        return cls(store=S3Store(location), uri=uri)

    def listing(self) -> list[SourceFile]:
        """See Source."""
        found = [SourceFile(path=info.name, size=info.size, mark=info.etag) for info in self.store.list("")]
        if not found:
            raise BadInput(f"spec.baseModel.uri {self.uri!r}: there are no objects", reason="BaseModelMissing")
        return found

    def read(self, path: str) -> bytes:
        """See Source."""
        with self.store.open(path) as stream:
            return stream.read()

    def fetch(self, path: str, target: Path) -> None:
        """See Source."""
        with self.store.open(path) as stream, target.open("wb") as sink:
            copy_hashing(stream, sink)
