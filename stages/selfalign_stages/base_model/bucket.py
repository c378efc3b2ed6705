"""Reads s3:// base models through the client that also reads and writes s3:// artifact stores.

One client means one place for endpoints, addressing styles, TLS and error messages. Its messages name the fields of
the artifact store; here they are rewritten to name those of the base model.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from selfalign_stages.artifacts.checked import READS, copy_hashing
from selfalign_stages.artifacts.s3_store import S3Store
from selfalign_stages.base_model import settings, verifying
from selfalign_stages.base_model.sources import UNKNOWN_SIZE, SourceFile, is_md5
from selfalign_stages.contract.exits import BadInput, StageError
from selfalign_stages.contract.task import StoreLocation


@dataclass(frozen=True)
class BucketSource:
    """The objects below a prefix. S3 records no SHA-256 of them by default, so `content_id` is the ETag.

    The ETag of an object that was uploaded in one part is its MD5, unless KMS or a key of the client's encrypts it, and
    with some servers never. A listing does not tell, so that the small files, which are read anyway, decide: once the
    ETag of one is its MD5, those of this form are taken for MD5s.

    Args:
        store: client for bucket and prefix.
        uri: s3://BUCKET/PREFIX, for messages.
        listed: the objects by name, since the last listing.
        with_md5: names of objects whose ETag was found to be their MD5.
    """

    store: S3Store
    uri: str
    listed: dict[str, SourceFile] = field(default_factory=dict, compare=False)
    with_md5: set[str] = field(default_factory=set, compare=False)

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
        own, mounted = settings.own_credentials(), settings.mounted_credentials()
        # Credentials alone may be another account of the same service; with an endpoint they belong to another one.
        same_service = store.uri.startswith("s3://") and not ((own or mounted) and endpoint)
        location = store.model_copy(update={"uri": uri}) if same_service else elsewhere
        with _as_base_model():
            return cls(store=S3Store(location, credentials=own, mounted=mounted), uri=uri)

    def list_files(self) -> list[SourceFile]:
        """Lists all objects with their ETags.

        Raises:
            BadInput: the bucket is missing, or the prefix has no objects.
            AccessDenied: the credentials may not list the bucket.
        """
        with _as_base_model():
            # Consoles create an empty object with the folder's own name.
            files = [
                SourceFile(path=info.name, size=info.size, content_id=info.etag)
                for info in self.store.list("")
                if info.name and not info.name.endswith("/")
            ]
        if not files:
            raise BadInput(
                f"spec.baseModel.uri {self.uri!r}: there are no objects; check bucket and prefix",
                reason="BaseModelMissing",
            )
        self.listed.clear()
        self.listed.update({file.path: file for file in files})
        return files

    def with_content_ids(self, files: Sequence[SourceFile]) -> list[SourceFile]:
        """Returns `files`, whose ETags the listing has, with their MD5 where the ETag is one."""
        if not self.with_md5:
            return list(files)
        return [replace(file, md5=file.content_id) if is_md5(file.content_id) else file for file in files]

    def read(self, path: str) -> bytes:
        """Returns the content of a small object, compared with its size and, where the ETag is one, its MD5.

        Raises:
            Unavailable: what arrived differs from the listing each time.
        """
        listed = self.listed.get(path, SourceFile(path, UNKNOWN_SIZE))
        with tempfile.TemporaryDirectory(prefix="selfalign-") as folder:
            target = Path(folder) / "object"
            verifying.fetch(self.fetch, listed, target)
            if is_md5(listed.content_id):
                self._compare_md5(listed, target)
            return target.read_bytes()

    def _compare_md5(self, listed: SourceFile, target: Path) -> None:
        """Compares a downloaded object with its ETag, which may be no MD5, and downloads it again if they differ."""
        file = replace(listed, md5=listed.content_id)
        arrived: set[str] = set()
        for _ in range(READS):
            content = verifying.measure(target, file)
            if verifying.difference(file, content) is None:
                self.with_md5.add(file.path)
                return
            arrived.add(content.sha256)
            verifying.fetch(self.fetch, listed, target)
        # The same bytes each time, and no object's ETag is its MD5: then this one is none either.
        if self.with_md5 or len(arrived) > 1:
            raise verifying.refusal(file, content, same=False)

    def start(self, path: str, length: int) -> bytes:
        """Returns the first bytes of an object; closing its stream ends the transfer."""
        with _as_base_model(), self.store.open(path) as stream:
            return stream.read(length)

    def fetch(self, path: str, target: Path) -> None:
        """Downloads an object to `target`, in blocks."""
        with _as_base_model(), self.store.open(path) as stream, target.open("wb") as sink:
            copy_hashing(stream, sink)


@contextmanager
def _as_base_model() -> Iterator[None]:
    """Replaces field names of the artifact store in a StageError's message by those of the base model."""
    try:
        yield
    except FileNotFoundError as error:
        raise BadInput(
            f"spec.baseModel.uri: {error} does not exist; check the address, and whether someone deletes there",
            reason="BaseModelMissing",
        ) from error
    except StageError as error:
        # The type and the reason stay: they decide about retries.
        message = str(error).replace("spec.artifacts", "spec.baseModel")
        raise type(error)(message, reason=error.reason) from error
