"""Removes S3 objects, and moves damaged ones aside. S3 has no rename: the server copies, and then the original goes."""

from uuid import uuid4

# Imported at once, unlike elsewhere: only s3:// stores import this module.
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from selfalign_stages.artifacts import s3_answers, s3_errors
from selfalign_stages.artifacts.s3_bucket import Bucket, Head
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.step.store import SET_ASIDE

COPY_WHOLE = 1 << 30
"""Bytes up to which one request copies an object. S3 allows 5 GiB, but some servers answer only when they are done, and
a request that takes longer than the read timeout counts as lost. Fewer servers can copy in parts."""
COPY_PART = 256 << 20


def delete(bucket: Bucket, name: str) -> None:
    """Removes an object; does nothing if there is none.

    Raises:
        StageError: as documented in `step.store`.
    """
    with bucket.mapped(name):
        try:
            bucket.client.delete_object(**bucket.target(name))
        except ClientError as error:
            # AWS answers 204 for a missing object, other servers 404.
            if not s3_answers.missing(error):
                raise


def set_aside(bucket: Bucket, name: str) -> str | None:
    """Moves an object below SET_ASIDE, with the store's encryption.

    Args:
        bucket: the object's place.
        name: its name.

    Returns:
        The new name. None if there is no such object, or another process replaced it meanwhile.

    Raises:
        Unavailable: the copy is not what was copied; the original stays.
        BadInput: the server cannot copy objects.
        StageError: as documented in `step.store`.
    """
    original = bucket.head(name)
    if original is None:
        return None
    aside = f"{SET_ASIDE}/{name}-{uuid4().hex[:8]}"
    if not _copy(bucket, name, aside, original):
        return None
    copy = bucket.head(aside)
    if copy is None or copy.size != original.size:
        stated = "is missing" if copy is None else f"has {copy.size} bytes instead of {original.size}"
        raise s3_errors.damaged(bucket.place(name), f"its copy {aside} {stated}, so that the original stays")
    # Whoever else found the damage may have moved the object, and written it anew, while it was copied here.
    if bucket.head(name) == original:
        delete(bucket, name)
    return aside


def _copy(bucket: Bucket, name: str, aside: str, original: Head) -> bool:
    """Copies an object on the server; False if it is not there any more."""
    with bucket.mapped(name):
        try:
            bucket.client.copy(
                {"Bucket": bucket.name, "Key": bucket.key(name)},
                **bucket.target(aside),
                ExtraArgs={**bucket.encryption, "CopySourceIfMatch": original.etag},
                Config=TransferConfig(multipart_threshold=COPY_WHOLE, multipart_chunksize=COPY_PART),
            )
        except ClientError as error:
            if s3_answers.missing(error) or s3_answers.status(error) == 412:
                return False
            if s3_answers.meaning(error) is not s3_answers.UNSUPPORTED:
                raise
            raise BadInput(
                f"{bucket.place(name)} is damaged, and the server cannot copy it to {aside} "
                f"({s3_answers.code(error)}): move or delete it by hand, then run again",
                reason="StoreUnsupported",
            ) from error
    return True
