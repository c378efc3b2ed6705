"""Lists S3 objects, and refuses listings that repeat themselves or break off.

What a listing leaves out counts as missing, and is computed again. Servers with S3's API, and proxies before them, may
repeat an old page, forget the token of the next one, or ignore a parameter; boto3's paginator ends where a token is
missing, as if that were all.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from selfalign_stages.artifacts import s3_errors
from selfalign_stages.artifacts.s3_bucket import Bucket
from selfalign_stages.step.store import ObjectInfo

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef, ObjectTypeDef


def list_objects(bucket: Bucket, prefix: str) -> Iterator[ObjectInfo]:
    """Lists the objects whose name starts with `prefix`, in name order.

    The empty objects with which consoles show folders are left out.

    Raises:
        Unavailable: the answers cannot be one whole listing.
        StageError: as documented in `step.store`.
    """
    found: dict[str, ObjectInfo] = {}
    with bucket.mapped(prefix):
        for page in _pages(bucket, prefix):
            for entry in page.get("Contents", []):
                info = _info(bucket, prefix, entry)
                if info.name in found:
                    raise s3_errors.damaged(bucket.place(prefix), f"the listing has {info.name!r} twice")
                found[info.name] = info
    # Sorted here, because some servers sort folder by folder: a/b before a-b.
    yield from (found[name] for name in sorted(found) if not _is_folder(found[name]))


def _pages(bucket: Bucket, prefix: str) -> "Iterator[ListObjectsV2OutputTypeDef]":
    """Requests one page after the other, until one says that it is the last."""
    request: dict[str, Any] = {"Bucket": bucket.name, "Prefix": bucket.key(prefix)}
    tokens: set[str] = set()
    while True:
        page = bucket.client.list_objects_v2(**request)
        if "IsTruncated" not in page:
            raise s3_errors.not_s3(bucket.place(prefix))
        yield page
        token = page.get("NextContinuationToken", "")
        if not page["IsTruncated"]:
            # Else one changed letter in `true` would hide all other pages.
            if token:
                raise s3_errors.damaged(bucket.place(prefix), "the listing ends, but has a token for the next page")
            return
        if not token or token in tokens:
            problem = f"repeats the token {token!r}" if token else "goes on, but has no token for the next page"
            raise s3_errors.damaged(bucket.place(prefix), f"the listing {problem}")
        tokens.add(token)
        request["ContinuationToken"] = token


def _info(bucket: Bucket, prefix: str, entry: "ObjectTypeDef") -> ObjectInfo:
    # A server may leave out what it does not know; only the ETag is of no consequence.
    key, size = entry.get("Key", ""), entry.get("Size", -1)
    if size < 0 or not key.startswith(bucket.key(prefix)):
        raise s3_errors.damaged(bucket.place(prefix), f"the listing has an entry with key {key!r} and size {size}")
    return ObjectInfo(name=key[len(bucket.key("")) :], size=size, etag=entry.get("ETag", "").strip('"'))


def _is_folder(info: ObjectInfo) -> bool:
    return info.size == 0 and (not info.name or info.name.endswith("/"))
