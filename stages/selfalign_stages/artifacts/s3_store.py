"""s3:// stores: create-once by conditional writes, on AWS and on servers with the same API.

Servers that ignore the condition instead of refusing it would let two workers overwrite each other without a trace;
`probe` detects them before a run.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit
from uuid import uuid4

from selfalign_stages.artifacts import s3_client, s3_errors, s3_listing, s3_moving, s3_reading, s3_uploads
from selfalign_stages.artifacts.s3_bucket import Bucket
from selfalign_stages.contract import credentials as mounts
from selfalign_stages.contract.exits import BadInput, StageError
from selfalign_stages.contract.task import StoreLocation
from selfalign_stages.step.store import ObjectInfo

PROBE_BYTES = 1000
"""Bytes of the object that `probe` writes: random, so that no server has them from somewhere else."""


class S3Store:
    """Objects as keys below a prefix of a bucket.

    Args:
        location: the store.
        credentials: fixed ones, as in `s3_client.connect`.
        mounted: folder of a Secret that is read anew for every request, and comes first if it has an access key. None:
            that of spec.artifacts.secretRef, unless there are fixed credentials.

    Raises:
        BadInput: endpoint, region, caFile or an AWS_* variable is wrong.
        AccessDenied: a profile or Secret with credentials cannot be read.
    """

    def __init__(
        self, location: StoreLocation, *, credentials: Mapping[str, Any] | None = None, mounted: Path | None = None
    ) -> None:
        parts = urlsplit(location.uri)
        self.bucket, self.prefix = parts.netloc, parts.path.strip("/")
        if mounted is None and not credentials:
            mounted = mounts.FOLDER / mounts.ARTIFACTS
        with s3_errors.mapped(bucket=self.bucket, key=self.prefix, endpoint=location.endpoint or "AWS"):
            client, endpoint = s3_client.connect(location, credentials=credentials or {}, mounted=mounted)
        self.endpoint = endpoint or "AWS"
        self._objects = Bucket(client, self.bucket, self.prefix, self.endpoint, _encryption(location))

    def open(self, name: str) -> BinaryIO:
        """See Store. A broken connection is resumed."""
        return cast(BinaryIO, s3_reading.open_object(self._objects, name))

    def put(self, name: str, data: bytes) -> bool:
        """See Store. False also where this call may have created the object and the answer was lost."""
        return s3_uploads.put(self._objects, name, data)

    def put_file(self, name: str, path: Path) -> bool:
        """See Store; False as in `put`."""
        return s3_uploads.put_file(self._objects, name, path)

    def replace(self, name: str, data: bytes) -> None:
        """See Store."""
        s3_uploads.replace(self._objects, name, data)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See Store."""
        return s3_listing.list_objects(self._objects, prefix)

    def delete(self, name: str) -> None:
        """See Store."""
        s3_moving.delete(self._objects, name)

    def set_aside(self, name: str) -> str | None:
        """See Store. The server copies the object, whatever its size."""
        return s3_moving.set_aside(self._objects, name)

    def probe(self) -> None:
        """Writes an object, reads it, tries to create it a second time whole and in parts, and deletes it.

        Raises:
            BadInput: the server ignores or refuses If-None-Match on one of the two writes, or returns other bytes than
                were written.
            StageError: as documented for all methods in `step.store`.
        """
        # Unique, because preflights of other runs may use the store at the same time.
        name, written = f"probe/{uuid4().hex}", os.urandom(PROBE_BYTES)
        self.replace(name, written)
        try:
            self._probe_reading(name, written)
            self._probe_conditions(name)
        except BaseException:
            # The first error says more than one of cleaning up.
            with suppress(StageError):
                self.delete(name)
            raise
        self.delete(name)

    def _probe_reading(self, name: str, written: bytes) -> None:
        with self.open(name) as stream:
            read = stream.read()
        if read != written:
            raise BadInput(
                f"spec.artifacts.endpoint {self.endpoint!r}: of {len(written)} bytes that were written, the server "
                f"returned {len(read)} or other ones; use another server, or remove the cache or proxy before it",
                reason="StoreReturnsOtherBytes",
            )

    def _probe_conditions(self, name: str) -> None:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "second"
            file.write_bytes(b"second")
            try:
                # Both must return False, because the object exists. Some servers check one kind of write only.
                overwritten = self.put(name, b"second") or s3_uploads.put_in_parts(self._objects, name, file)
            except BadInput as error:
                # The same object could be written without a condition in one request.
                raise BadInput(
                    f"spec.artifacts.endpoint {self.endpoint!r}: the server refuses writes with If-None-Match, or in "
                    f"parts; use one that supports both ({error})",
                    reason="ConditionalPutUnsupported",
                ) from error
        if overwritten:
            raise BadInput(
                f"spec.artifacts.endpoint {self.endpoint!r}: the server ignores If-None-Match, so two workers "
                "could overwrite each other; use one with conditional writes, of multipart uploads as well",
                reason="ConditionalPutUnsupported",
            )


def _encryption(location: StoreLocation) -> dict[str, Any]:
    if location.sse is None:
        return {}
    key = {"SSEKMSKeyId": location.sse_kms_key_id} if location.sse_kms_key_id else {}
    return {"ServerSideEncryption": location.sse, **key}
