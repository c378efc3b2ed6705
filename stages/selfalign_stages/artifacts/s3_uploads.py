"""Creates S3 objects once: conditional writes of one request or of many parts, in bounded memory.

PutObject with `If-None-Match: *` is answered with 412 if the key exists. Large files go up in parts, and the same
condition is on CompleteMultipartUpload, the call that makes the object visible. boto3's upload_file cannot send
conditions, hence the multipart upload written out here.

An answer may get lost after the server has done the work, and the retry then meets the object that this very process
created. It cannot be distinguished from another writer's, so that such a write counts as not created. The caller goes
on with the stored object in both cases.
"""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

# Imported at once, unlike elsewhere: only s3:// stores import this module.
from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.utils import ReadFileChunk

from selfalign_stages.artifacts import s3_answers, s3_errors
from selfalign_stages.artifacts.s3_bucket import Bucket
from selfalign_stages.contract.exits import BadInput, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

IN_MEMORY = 2 << 20
"""Bytes up to which a file is read into memory. Larger bodies are read from the file as they are sent; before these the
client asks whether it may send (Expect: 100-continue), a round trip that would dominate small files."""
MULTIPART_FROM = 64 << 20
"""Bytes from which a file goes up in parts, which takes three requests or more."""
PART_BYTES = 32 << 20
MOST_PARTS = 10_000
"""S3's limit. Parts grow for files above 312 GiB."""
UPLOAD_THREADS = 4
"""Parts of a file in flight."""
CONFLICT_ATTEMPTS = 5
"""Attempts of a write that S3 answers with 409 because another one on the same key is in flight."""
CONFLICT_PAUSE = 0.2
"""Seconds before the second of these attempts at most, doubled for each one after it."""


def put(bucket: Bucket, name: str, data: bytes) -> bool:
    """Creates an object from memory.

    Returns:
        Whether this call created the object. False as well where it may have: see above.

    Raises:
        StageError: as documented in `step.store`.
    """
    return created(bucket, name, lambda: put_body(bucket, name, data, IfNoneMatch="*"))


def put_file(bucket: Bucket, name: str, path: Path) -> bool:
    """Creates an object from a file; result and errors as in `put`."""
    size = path.stat().st_size
    if size <= IN_MEMORY:
        return put(bucket, name, path.read_bytes())
    if size >= MULTIPART_FROM:
        return put_in_parts(bucket, name, path)

    def write() -> None:
        with ReadFileChunk.from_filename(str(path), 0, size) as body:
            put_body(bucket, name, body, IfNoneMatch="*")

    return created(bucket, name, write)


def put_in_parts(bucket: Bucket, name: str, path: Path) -> bool:
    """Creates an object by a multipart upload, whatever the file's size; result and errors as in `put`."""
    return created(bucket, name, lambda: _multipart(bucket, name, path))


def replace(bucket: Bucket, name: str, data: bytes) -> None:
    """Writes an object whether or not it exists; errors as in `put`."""
    with bucket.mapped(name):
        for attempt in range(CONFLICT_ATTEMPTS):
            try:
                put_body(bucket, name, data)
                return
            except ClientError as error:
                if s3_answers.status(error) != 409 or attempt == CONFLICT_ATTEMPTS - 1:
                    raise _of_write(bucket, name, error) from error
            _pause_after(attempt)


def put_body(bucket: Bucket, name: str, body: Any, **condition: Any) -> None:
    """Writes an object in one request.

    Args:
        bucket: the object's place.
        name: its name.
        body: bytes, or a file opened in binary mode.
        condition: such as IfNoneMatch.

    Raises:
        BadInput: the answer is none of S3.
    """
    answer = bucket.client.put_object(**bucket.target(name), Body=body, **bucket.encryption, **condition)
    # A login page with status 200 is a success to boto3, and nothing is stored.
    if not answer.get("ETag"):
        raise s3_errors.not_s3(bucket.place(name))


def created(bucket: Bucket, name: str, write: Callable[[], None]) -> bool:
    """Runs a conditional write until its outcome is clear.

    Args:
        bucket: the object's place.
        name: its name.
        write: sends the object. Called again after a collision.

    Returns:
        Whether the write created the object.

    Raises:
        Unavailable: every attempt collided with another writer, and there is still no object.
        StageError: as documented in `step.store`.
    """
    with bucket.mapped(name):
        for attempt in range(CONFLICT_ATTEMPTS):
            try:
                write()
            except ClientError as error:
                status, code = s3_answers.status(error), s3_answers.code(error)
                if status == 412:
                    return False
                # 409: another write on the key is in flight. No such upload: completed by a request whose answer was
                # lost, or removed by a lifecycle rule. In both cases the object decides.
                if status != 409 and code != "NoSuchUpload":
                    raise _of_write(bucket, name, error) from error
                if bucket.head(name) is not None:
                    return False
                last = error
            else:
                return True
            _pause_after(attempt)
        raise Unavailable(
            f"{bucket.place(name)}: {s3_answers.code(last)} {s3_answers.said(last)}".rstrip()
            + f" on {CONFLICT_ATTEMPTS} attempts to create it, and it does not exist; run again"
        ) from last


def _pause_after(attempt: int) -> None:
    # At random, because the writers that collided wait for each other.
    time.sleep(random.uniform(0, CONFLICT_PAUSE * 2**attempt))


def _of_write(bucket: Bucket, name: str, error: ClientError) -> Exception:
    """Replaces 404, which says of a write that the address is wrong, and else would pass for a missing input."""
    if not s3_answers.missing(error):
        return error
    return BadInput(
        f"{bucket.place(name)}: 404 to a write: there is no such bucket, or no S3 server; correct spec.artifacts.uri "
        "or spec.artifacts.endpoint",
        reason="NoSuchBucket",
    )


def _multipart(bucket: Bucket, name: str, path: Path) -> None:
    target, size = bucket.target(name), path.stat().st_size
    answer = bucket.client.create_multipart_upload(**target, **bucket.encryption)
    if not answer.get("UploadId"):
        raise s3_errors.not_s3(bucket.place(name))
    upload = {**target, "UploadId": answer["UploadId"]}
    try:
        parts = _upload_parts(bucket, upload, path, size)
        completed = bucket.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
        if not completed.get("ETag"):
            raise s3_errors.not_s3(bucket.place(name))
    except BaseException:
        # Parts of an upload that is never completed cost storage until a lifecycle rule removes them. An error of this
        # request would hide the one that matters.
        with suppress(ClientError, BotoCoreError):
            bucket.client.abort_multipart_upload(**upload)
        raise


def _upload_parts(bucket: Bucket, upload: dict[str, Any], path: Path, size: int) -> "list[CompletedPartTypeDef]":
    part_bytes = part_size(size)

    def send(index: int) -> "CompletedPartTypeDef":
        start = index * part_bytes
        # Read from the file while it is sent: parts in memory would add up over the files that go up side by side.
        with ReadFileChunk.from_filename(str(path), start, min(part_bytes, size - start)) as body:
            answer = bucket.client.upload_part(**upload, PartNumber=index + 1, Body=cast(Any, body))
        return {"ETag": answer["ETag"], "PartNumber": index + 1}

    with ThreadPoolExecutor(UPLOAD_THREADS) as pool:
        sent = [pool.submit(send, index) for index in range(max(-(-size // part_bytes), 1))]
        try:
            return [part.result() for part in sent]
        except BaseException:
            # Without this the rest of a large file would go up before the first error is raised.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def part_size(size: int) -> int:
    """Chooses the bytes per part for a file of `size` bytes: PART_BYTES, or as many MiB as MOST_PARTS parts need."""
    least = -(-size // MOST_PARTS)
    return max(PART_BYTES, -(-least // (1 << 20)) << 20)
