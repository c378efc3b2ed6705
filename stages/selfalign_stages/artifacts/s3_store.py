"""s3:// stores: create-once by conditional puts (If-None-Match), large files by a multipart upload of our own.

boto3's upload_file cannot make conditional writes, so the last call of a multipart upload carries the condition here.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
PART_BYTES = 32 << 20  # 10,000 parts of this size hold 312 GiB, above any shard that the packaging writes
UPLOAD_THREADS = 4


def connect(location: StoreLocation, credentials: Mapping[str, Any]) -> "S3Client":
    """A client with checksums that third-party servers accept; without credentials those of the environment."""
    import boto3
    from botocore.config import Config

    checksums: Literal["when_required", "when_supported"] = "when_required" if location.endpoint else "when_supported"
    config = Config(
        retries={"mode": "standard", "max_attempts": 8},
        s3={"addressing_style": location.addressing_style},
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=16,
    )
    client = boto3.session.Session(**credentials).client(
        "s3",
        endpoint_url=location.endpoint,
        region_name=location.region or ("us-east-1" if location.endpoint else None),
        verify=location.ca_file,
        config=config,
    )
    return client


class S3Store:
    """Objects as keys below a bucket's prefix."""

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
        if path.stat().st_size < MULTIPART_FROM:
            return self.put(name, path.read_bytes())
        return self._put_in_parts(name, path)

    def replace(self, name: str, data: bytes) -> None:
        """See Store."""
        with self._mapped(name):
            self._put(name, data)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See Store."""
        cut = len(f"{self.prefix}/") if self.prefix else 0
        with self._mapped(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._key(prefix))
            for page in pages:
                for entry in page.get("Contents", []):
                    yield ObjectInfo(name=entry["Key"][cut:], size=entry["Size"], etag=entry["ETag"].strip('"'))

    def delete(self, name: str) -> None:
        """See Store."""
        with self._mapped(name):
            self._client.delete_object(Bucket=self.bucket, Key=self._key(name))

    def probe(self) -> None:
        """Writes, conditionally rewrites whole and in parts, reads, deletes; raises naming what the server lacks."""
        name = f"probe/{uuid4().hex}"  # its own, for preflights of other runs may be at the same store
        self.replace(name, b"probe")
        try:
            with TemporaryDirectory() as folder:
                file = Path(folder) / "again"
                file.write_bytes(b"again")
                ignored = self.put(name, b"again") or self._put_in_parts(name, file)
            if ignored:
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
                parts = list(pool.map(lambda n: self._part(target, upload, path, n, part_bytes), range(count)))
            self._client.complete_multipart_upload(
                **target, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
            )
        except BaseException:
            self._client.abort_multipart_upload(**target, UploadId=upload)
            raise

    def _part(
        self, target: dict[str, Any], upload: str, path: Path, index: int, part_bytes: int
    ) -> "CompletedPartTypeDef":
        with path.open("rb") as file:
            file.seek(index * part_bytes)
            body = file.read(part_bytes)
        done = self._client.upload_part(
            Bucket=target["Bucket"], Key=target["Key"], UploadId=upload, PartNumber=index + 1, Body=body
        )
        return {"ETag": done["ETag"], "PartNumber": index + 1}

    def _created(self, name: str, write: Any) -> bool:
        from botocore.exceptions import ClientError

        with self._mapped(name):
            for _ in range(5):
                try:
                    write()
                except ClientError as error:
                    if s3_errors.already_there(error):
                        return False
                    if not s3_errors.conflict(error):
                        raise
                else:
                    return True
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
