"""Reads s3:// base models through the client that also reads and writes s3:// artifact stores.

One client means one place for endpoints, addressing styles, TLS and error messages. Its messages name the fields of
the artifact store; here they are rewritten to name those of the base model.
"""

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
    """The objects below a prefix. S3 records no SHA-256 of them by default, so `content_id` is the ETag.

    Args:
        store: client for bucket and prefix.
        uri: s3://BUCKET/PREFIX, for messages.
    """

    store: S3Store
    uri: str

    @classmethod
    def at_uri(cls, uri: str, *, store: StoreLocation) -> Self:
        """Opens s3://BUCKET/PREFIX.

        Args:
            uri: address of the model.
            store: the run's artifact store. If it is in S3, the model is read from the same endpoint, unless the base
                model has both credentials and an endpoint of its own. Otherwise AWS_ENDPOINT_URL and AWS_REGION
                decide, as they do for other S3 clients.
        """
        endpoint = settings.setting("AWS_ENDPOINT_URL")
        elsewhere = StoreLocation(uri=uri, endpoint=endpoint, region=settings.setting("AWS_REGION"))
        own = settings.own_credentials()
        # Credentials alone may be another account of the same service; with an endpoint they belong to another one.
        same_service = store.uri.startswith("s3://") and not (own and endpoint)
        location = store.model_copy(update={"uri": uri}) if same_service else elsewhere
        return cls(store=S3Store(location, credentials=own), uri=uri)

    def list_files(self) -> list[SourceFile]:
        """Lists all objects with their ETags.

        Raises:
            BadInput: the bucket is missing, or the prefix has no objects.
            AccessDenied: the credentials may not list the bucket.
        """
        with _as_base_model():
            files = [SourceFile(path=info.name, size=info.size, content_id=info.etag) for info in self.store.list("")]
        if not files:
            raise BadInput(
                f"spec.baseModel.uri {self.uri!r}: there are no objects; check bucket and prefix",
                reason="BaseModelMissing",
            )
        return files

    def with_content_ids(self, files: Sequence[SourceFile]) -> list[SourceFile]:
        """Returns `files` unchanged: the listing has their ETags."""
        return list(files)

    def read(self, path: str) -> bytes:
        """Returns the content of a small object."""
        with self._mapped(path), self.store.open(path) as stream:
            return stream.read()

    def fetch(self, path: str, target: Path) -> None:
        """Downloads an object to `target`, in blocks."""
        with self._mapped(path), self.store.open(path) as stream, target.open("wb") as sink:
            copy_hashing(stream, sink)

    @contextmanager
    def _mapped(self, path: str) -> Iterator[None]:
        """Maps boto3's errors for one object; the store maps those of opening it, but not those of reading its body."""
        store = self.store
        with _as_base_model(), s3_errors.mapped(bucket=store.bucket, key=path, endpoint=store.endpoint):
            yield


@contextmanager
def _as_base_model() -> Iterator[None]:
    """Replaces field names of the artifact store in a StageError's message by those of the base model."""
    try:
        yield
    except StageError as error:
        # The type and the reason stay: they decide about retries.
        message = str(error).replace("spec.artifacts", "spec.baseModel")
        raise type(error)(message, reason=error.reason) from error
