"""One prefix of a bucket, with the client that reaches it: what reading, uploading and listing have in common."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from selfalign_stages.artifacts import s3_answers, s3_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class Head:
    """What a server says about an object without sending it.

    Attributes:
        size: bytes.
        etag: tag of the content, as the server wrote it; "" if it sent none.
    """

    size: int
    etag: str


@dataclass(frozen=True)
class Bucket:
    """Objects by name, which is a key below the prefix.

    Attributes:
        client: S3 client.
        name: name of the bucket.
        prefix: prefix of all keys, without / at its ends; "" for the whole bucket.
        endpoint: the server, for messages: a URL, or "AWS".
        encryption: arguments that new objects are written with.
    """

    client: "S3Client"
    name: str
    prefix: str
    endpoint: str
    encryption: Mapping[str, Any] = field(default_factory=dict)

    def key(self, name: str) -> str:
        """The key of an object, or the key prefix of a name prefix."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def target(self, name: str) -> dict[str, Any]:
        """The arguments with which requests name an object."""
        return {"Bucket": self.name, "Key": self.key(name)}

    def place(self, name: str) -> str:
        """Bucket, key and endpoint, for messages."""
        return f"s3://{self.name}/{self.key(name)} at {self.endpoint}"

    def mapped(self, name: str) -> AbstractContextManager[None]:
        """Maps the errors of boto3 calls about `name` in its block, as s3_errors.mapped does."""
        return s3_errors.mapped(bucket=self.name, key=self.key(name), endpoint=self.endpoint)

    def head(self, name: str) -> Head | None:
        """Asks about one object by its exact key; None if it does not exist.

        Raises:
            BadInput: the bucket does not exist.
            StageError: as documented in `step.store`.
        """
        from botocore.exceptions import ClientError

        with self.mapped(name):
            try:
                answer = self.client.head_object(**self.target(name))
            except ClientError as error:
                if not s3_answers.missing(error):
                    raise
            else:
                if "ContentLength" not in answer or not answer.get("ETag"):
                    raise s3_errors.not_s3(self.place(name))
                return Head(size=answer["ContentLength"], etag=answer["ETag"])
            # Answers to HEAD have no code that would tell a missing object from a missing bucket.
            self._require_bucket()
        return None

    def _require_bucket(self) -> None:
        from botocore.exceptions import ClientError

        try:
            self.client.head_bucket(Bucket=self.name)
        except ClientError as error:
            # Who may not ask about the bucket may still use its objects.
            if s3_answers.missing(error):
                error.response["Error"]["Code"] = "NoSuchBucket"
                raise
