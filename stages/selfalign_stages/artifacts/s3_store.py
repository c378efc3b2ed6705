"""s3:// stores: create-once by conditional writes, on AWS and on servers with the same API.

An object is created by PutObject with `If-None-Match: *`, which S3 answers with 412 if the key exists. Large files go
up in parts, and the same condition is on CompleteMultipartUpload, the call that makes the object visible. boto3's
upload_file cannot send conditions, hence the multipart upload written out here. Servers that ignore the condition
instead of refusing it would let two workers overwrite each other without a trace; `probe` detects them before a run.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast
from urllib.parse import urlsplit
from uuid import uuid4

from selfalign_stages.artifacts import s3_errors
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.task import StoreLocation
from selfalign_stages.step.store import ObjectInfo

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

MULTIPART_FROM = 64 << 20
"""Bytes from which a file goes up in parts. Smaller ones are read into memory and sent in one request."""
PART_BYTES = 32 << 20
"""Bytes of a part. S3 allows 10,000 parts, 312 GiB at this size: above any shard that the packaging writes."""
UPLOAD_THREADS = 4
"""Parts in flight; with PART_BYTES it bounds the memory of an upload at 128 MiB."""
CONFLICT_ATTEMPTS = 5
"""Attempts of a conditional write that S3 answers with 409 because another one on the same key is in flight."""


def connect(location: StoreLocation, credentials: Mapping[str, Any]) -> "S3Client":
    """Makes an S3 client.

    Args:
        location: endpoint, region, addressing style and certificate authorities of the store.
        credentials: keyword arguments of boto3's Session, such as aws_access_key_id. Empty: boto3's own chain, which
            reads environment variables and the pod's workload identity.
    """
    import boto3
    from botocore.config import Config

    # Newer boto3 adds CRC checksums to every request by default, which many third-party servers refuse.
    checksums: Literal["when_required", "when_supported"] = "when_required" if location.endpoint else "when_supported"
    config = Config(
        # Exponential backoff with jitter; eight attempts outlast throttling of up to a minute.
        retries={"mode": "standard", "max_attempts": 8},
        s3={"addressing_style": location.addressing_style},
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
        # Seconds. Reads of a stalled server end in a retry instead of blocking a GPU pod.
        connect_timeout=10,
        read_timeout=60,
        # Above the threads of an upload and a download together; a smaller pool would close and reopen connections.
        max_pool_connections=16,
    )
    client = boto3.session.Session(**credentials).client(
        "s3",
        endpoint_url=location.endpoint,
        # Signatures contain a region even where a server has none; us-east-1 is the one that such servers accept.
        region_name=location.region or ("us-east-1" if location.endpoint else None),
        verify=location.ca_file,
        config=config,
    )
    return client


class S3Store:
    """Objects as keys below a prefix of a bucket.

    Args:
        location: the store.
        credentials: as in `connect`. None: boto3's own chain.
    """

    def __init__(self, location: StoreLocation, *, credentials: Mapping[str, Any] | None = None) -> None:
        parts = urlsplit(location.uri)
        self.bucket, self.prefix = parts.netloc, parts.path.strip("/")
        self.endpoint = location.endpoint or "AWS"
        self._client = connect(location, credentials or {})
        self._encryption = _encryption(location)

    def open(self, name: str) -> BinaryIO:
        """See Store."""
        with self._mapped(name):
            return cast(BinaryIO, self._client.get_object(Bucket=self.bucket, Key=self._key(name))["Body"])

    def put(self, name: str, data: bytes) -> bool:
        """See Store."""
        return self._created(name, lambda: self._put(name, data, IfNoneMatch="*"))

    def put_file(self, name: str, path: Path) -> bool:
        """See Store."""
        # Multipart uploads take three requests or more, which small files would pay for nothing.
        if path.stat().st_size < MULTIPART_FROM:
            return self.put(name, path.read_bytes())
        return self._put_in_parts(name, path)

    def replace(self, name: str, data: bytes) -> None:
        """See Store."""
        with self._mapped(name):
            self._put(name, data)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See Store."""
        root_length = len(f"{self.prefix}/") if self.prefix else 0
        with self._mapped(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._key(prefix))
            for page in pages:
                for entry in page.get("Contents", []):
                    yield ObjectInfo(name=entry["Key"][root_length:], size=entry["Size"], etag=entry["ETag"].strip('"'))

    def delete(self, name: str) -> None:
        """See Store."""
        with self._mapped(name):
            self._client.delete_object(Bucket=self.bucket, Key=self._key(name))

    def probe(self) -> None:
        """Writes an object, tries to create it a second time whole and in parts, reads it, and deletes it.

        Raises:
            BadInput: the server ignores If-None-Match on one of the two writes.
            StageError: as documented for all methods in `step.store`.
        """
        name = f"probe/{uuid4().hex}"  # unique, because preflights of other runs may use the store at the same time
        self.replace(name, b"probe")
        try:
            with TemporaryDirectory() as folder:
                file = Path(folder) / "second"
                file.write_bytes(b"second")
                # Both must return False, because the object exists. Some servers check one kind of write only.
                overwritten = self.put(name, b"second") or self._put_in_parts(name, file)
            if overwritten:
                raise BadInput(
                    f"spec.artifacts.endpoint {self.endpoint!r}: the server ignores If-None-Match, so two workers "
                    "could overwrite each other; use one with conditional writes, of multipart uploads as well",
                    reason="ConditionalPutUnsupported",
                )
            with self.open(name) as stream:
                stream.read()
        finally:
            self.delete(name)

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _put(self, name: str, data: bytes, **condition: Any) -> None:
        self._client.put_object(Bucket=self.bucket, Key=self._key(name), Body=data, **self._encryption, **condition)

    def _put_in_parts(self, name: str, path: Path) -> bool:
        return self._created(name, lambda: self._multipart(name, path, PART_BYTES))

    def _multipart(self, name: str, path: Path, part_bytes: int) -> None:
        target: dict[str, Any] = {"Bucket": self.bucket, "Key": self._key(name)}
        upload = self._client.create_multipart_upload(**target, **self._encryption)["UploadId"]
        try:
            count = -(-path.stat().st_size // part_bytes)
            with ThreadPoolExecutor(UPLOAD_THREADS) as pool:
                upload_part = partial(self._upload_part, target, upload, path, part_bytes)
                parts = list(pool.map(upload_part, range(count)))
            self._client.complete_multipart_upload(
                **target, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
            )
        except BaseException:
            # Parts of an upload that is never completed cost storage until a lifecycle rule removes them.
            self._client.abort_multipart_upload(**target, UploadId=upload)
            raise

    def _upload_part(
        self, target: dict[str, Any], upload: str, path: Path, part_bytes: int, index: int
    ) -> "CompletedPartTypeDef":
        # Each thread opens the file itself: a shared file object has one position.
        with path.open("rb") as file:
            file.seek(index * part_bytes)
            body = file.read(part_bytes)
        response = self._client.upload_part(
            Bucket=target["Bucket"], Key=target["Key"], UploadId=upload, PartNumber=index + 1, Body=body
        )
        return {"ETag": response["ETag"], "PartNumber": index + 1}

    def _created(self, name: str, write: Callable[[], None]) -> bool:
        """Runs a conditional write until its outcome is clear; whether it created the object."""
        from botocore.exceptions import ClientError

        with self._mapped(name):
            for _ in range(CONFLICT_ATTEMPTS):
                try:
                    write()
                except ClientError as error:
                    if s3_errors.precondition_failed(error):
                        return False
                    if not s3_errors.conflict(error):
                        raise
                else:
                    return True
            # Every attempt collided with another writer: False if one of them has created the object meanwhile.
            return not any(True for _ in self.list(name))

    @contextmanager
    def _mapped(self, name: str) -> Iterator[None]:
        with s3_errors.mapped(bucket=self.bucket, key=self._key(name), endpoint=self.endpoint):
            yield


def _encryption(location: StoreLocation) -> dict[str, Any]:
    if location.sse is None:
        return {}
    key = {"SSEKMSKeyId": location.sse_kms_key_id} if location.sse_kms_key_id else {}
    return {"ServerSideEncryption": location.sse, **key}
