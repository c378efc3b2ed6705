"""s3:// base models, through the same client as s3:// artifact stores."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from selfalign_stages.artifacts import s3_errors
from selfalign_stages.artifacts.reading import copy_hashing
from selfalign_stages.artifacts.s3_store import S3Store
from selfalign_stages.base_model import settings
from selfalign_stages.base_model.sources import SourceFile
from selfalign_stages.contract.exits import BadInput, StageError
from selfalign_stages.contract.task import StoreLocation


@dataclass(frozen=True)
class BucketSource:
    """Objects below a prefix; S3 knows no SHA-256, so the mark is the ETag."""

    store: S3Store
    uri: str

    @classmethod
    def of(cls, uri: str, *, store: StoreLocation) -> Self:
        """The source at s3://bucket/prefix: in the artifact store's service, or where the environment says."""
        endpoint = settings.setting("AWS_ENDPOINT_URL")
        elsewhere = StoreLocation(uri=uri, endpoint=endpoint, region=settings.setting("AWS_REGION"))
        own = settings.own_credentials()
        same = store.uri.startswith("s3://") and not (own and endpoint)
        location = store.model_copy(update={"uri": uri}) if same else elsewhere
        return cls(store=S3Store(location, credentials=own), uri=uri)

    def listing(self) -> list[SourceFile]:
        """See Source."""
        with _as_base_model():
            found = [SourceFile(path=info.name, size=info.size, mark=info.etag) for info in self.store.list("")]
        if not found:
            raise BadInput(
                f"spec.baseModel.uri {self.uri!r}: there are no objects; check bucket and prefix",
                reason="BaseModelMissing",
            )
        return found

    def identify(self, files: Sequence[SourceFile]) -> list[SourceFile]:
        """See Source; the listing told already."""
        return list(files)

    def read(self, path: str) -> bytes:
        """See Source."""
        with self._mapped(path), self.store.open(path) as stream:
            return stream.read()

    def fetch(self, path: str, target: Path) -> None:
        """See Source."""
        with self._mapped(path), self.store.open(path) as stream, target.open("wb") as sink:
            copy_hashing(stream, sink)

    @contextmanager
    def _mapped(self, path: str) -> Iterator[None]:
        """Maps what breaks while a body is read, too."""
        store = self.store
        with _as_base_model(), s3_errors.mapped(bucket=store.bucket, key=path, endpoint=store.endpoint):
            yield


@contextmanager
def _as_base_model() -> Iterator[None]:
    """The store's errors name the artifact store's fields; here the base model's are meant."""
    try:
        yield
    except StageError as error:
        message = str(error).replace("spec.artifacts", "spec.baseModel")
        raise type(error)(message, reason=error.reason) from error
