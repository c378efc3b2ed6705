"""Reads S3 objects as streams that end only where the object ends.

Connections break, and a response that stops early passes with most readers for the end of the object: botocore's body
gives out its raw stream in a `with` block, where the number of bytes is not compared. Here the length of the first
answer counts. What is missing is asked for by a ranged GET under the condition that the object is still the same one.
"""

import io
import re
import time
from typing import TYPE_CHECKING, Any, cast

# Imported at once, unlike elsewhere: only s3:// stores import this module.
import urllib3
from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError

from selfalign_stages.artifacts import s3_answers, s3_errors
from selfalign_stages.artifacts.s3_bucket import Bucket
from selfalign_stages.contract.exits import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

RESUMES = 5
"""Resumptions in a row of which none brought PROGRESS bytes. Each of their requests has the client's own attempts
besides, so that more of them mean a fault that stays."""
PROGRESS = 1 << 20
PAUSE = 0.1
"""Seconds before the first resumption, doubled for each that follows without progress."""
BLOCK = 1 << 20
"""Bytes per read where the reader asks for all: large enough that the network dominates."""
BROKEN = (HTTPClientError, IncompleteReadError, urllib3.exceptions.HTTPError, OSError)
"""What a lost connection, a timeout and a protocol error raise in the middle of a body. botocore wraps some of them."""


def open_object(bucket: Bucket, name: str) -> io.BufferedReader:
    """Opens an object for reading.

    Args:
        bucket: the object's place.
        name: its name.

    Returns:
        A stream, not seekable. It raises Unavailable if it cannot be read to the object's end, and FileNotFoundError if
        the object is deleted before that and the connection breaks.

    Raises:
        FileNotFoundError: there is no such object.
        StageError: as documented in `step.store`.
    """
    with bucket.mapped(name):
        answer = bucket.client.get_object(**bucket.target(name))
    # All S3 servers send an ETag. Login pages of proxies and consoles have none, and their status is 200.
    if not answer.get("ETag"):
        answer["Body"].close()
        raise s3_errors.not_s3(bucket.place(name))
    size = answer.get("ContentLength")
    if size is None:
        # Sent in chunks, as a proxy may do.
        head = bucket.head(name)
        if head is None or head.etag != answer["ETag"]:
            raise _replaced(bucket.place(name))
        size = head.size
    return io.BufferedReader(_Object(bucket, name, answer, size), BLOCK)


class _Object(io.RawIOBase):
    """The bytes of one object, over as many requests as it takes."""

    def __init__(self, bucket: Bucket, name: str, answer: "GetObjectOutputTypeDef", size: int) -> None:
        self._bucket, self._name, self._size = bucket, name, size
        self._body, self._etag = answer["Body"], answer["ETag"]
        self._position = 0
        self._skip = 0
        """Bytes before the position that a server without ranges sends again."""
        self._resumes, self._goal = 0, PROGRESS
        """Resumptions without progress, and the position that counts as progress."""
        self._failure: Exception | None = None
        self._ended = False

    def readable(self) -> bool:
        """True, as io's interface wants it."""
        return True

    def close(self) -> None:
        """Gives up the connection, unless the object was read to its end."""
        if not self.closed:
            self._body.close()
        super().close()

    def readall(self) -> bytes:
        """Reads to the end; io's own method would do so in blocks of 8 KiB."""
        blocks = []
        while block := self.read(max(min(BLOCK, self._size - self._position), 1)):
            blocks.append(block)
        return b"".join(blocks)

    def readinto(self, buffer: Any, /) -> int:
        """Reads the next bytes, resuming as often as it takes; 0 at the object's end.

        Raises:
            Unavailable: the rest cannot be read, or the object was replaced meanwhile.
        """
        # A reader that catches an error and goes on must not take what it has for the object.
        if self._failure is not None:
            raise self._failure
        try:
            with self._bucket.mapped(self._name):
                return self._next(memoryview(buffer).cast("B"))
        except Exception as error:
            self._failure = error
            self._body.close()
            raise

    def _next(self, view: memoryview) -> int:
        if not len(view):
            return 0
        while (left := self._size - self._position) > 0:
            try:
                if self._skip:
                    # Not into `view`, which may have room for little.
                    count = len(self._body.read(min(self._skip, BLOCK)))
                else:
                    count = self._body.readinto(cast(Any, view[: min(len(view), left)]))
            except BROKEN as error:
                self._resume(error)
                continue
            if count == 0:
                self._resume(None)
            elif self._skip:
                self._skip -= count
            else:
                self._position += count
                return count
        self._check_end()
        return 0

    def _check_end(self) -> None:
        """Reads past the end once, upon which botocore compares the checksum if the server sent one."""
        if self._ended:
            return
        self._ended = True
        try:
            beyond = self._body.read(1)
        except BROKEN:
            return
        if beyond:
            raise s3_errors.damaged(self._bucket.place(self._name), f"more than {self._size} bytes were sent")

    def _resume(self, cause: Exception | None) -> None:
        """Asks for the rest of the object.

        Args:
            cause: what ended the body early; None: it just ended.
        """
        self._body.close()
        place = self._bucket.place(self._name)
        if self._position >= self._goal:
            self._resumes = 0
        if self._resumes == RESUMES:
            raise s3_errors.damaged(
                place, f"the connection broke at byte {self._position} of {self._size}, {RESUMES + 1} times in a row"
            ) from cause
        time.sleep(PAUSE * 2**self._resumes)
        self._resumes, self._goal = self._resumes + 1, self._position + PROGRESS
        try:
            answer = self._bucket.client.get_object(
                **self._bucket.target(self._name), Range=f"bytes={self._position}-", IfMatch=self._etag
            )
        except ClientError as error:
            # 412: the condition; 416: the object is now shorter than what was read of it.
            if s3_answers.status(error) in (412, 416):
                raise _replaced(place) from error
            raise
        self._body = answer["Body"]
        if answer.get("ETag") != self._etag:
            raise _replaced(place)
        self._skip = 0
        if answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
            # A server may ignore ranges and send the whole object (RFC 9110, 14.2).
            if answer.get("ContentLength", self._size) != self._size:
                raise _replaced(place)
            self._skip = self._position
        elif not _continues(answer.get("ContentRange", ""), self._position, self._size):
            stated = answer.get("ContentRange", "no range")
            raise s3_errors.damaged(place, f"asked for bytes from {self._position} of {self._size}, it sent {stated}")


def _continues(content_range: str, position: int, size: int) -> bool:
    """Whether a Content-Range, such as `bytes 5-9/10`, begins at `position` of an object of `size` bytes."""
    parts = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", content_range.strip())
    return parts is not None and int(parts[1]) == position and int(parts[2]) < size and parts[3] in ("*", str(size))


def _replaced(place: str) -> Unavailable:
    return Unavailable(f"{place}: the object was replaced while it was read; run again to read the new one")
