"""Opens the source that the URI of a base model names.

The clients of the Hub and of S3 are imported only for hf:// and s3://: each takes a good part of a second, and a
preflight of a local model starts without them.
"""

import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

from selfalign_stages import builtin
from selfalign_stages.base_model.folder import FolderSource
from selfalign_stages.base_model.quoting import shown
from selfalign_stages.base_model.sources import Source
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.task import Leaf, StoreLocation

BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")
"""What boto3 takes for a bucket's name, which is more than S3 creates today."""
LONGEST_KEY = 1024
"""Bytes of an object's key (S3 user guide, "Naming Amazon S3 objects")."""


def open_source(leaf: Leaf, *, store: StoreLocation) -> Source:
    """Opens a base model; reads nothing yet from S3 or the Hub.

    Args:
        leaf: URI of the model and, for hf://, its commit.
        store: the run's artifact store. An s3:// model is read from the same S3 service, with the same endpoint and
            credentials, unless the base model has settings of its own.

    Raises:
        BadInput: the URI is malformed, the folder or built-in is missing, or an hf:// model has no commit.
    """
    scheme, separator, rest = leaf.uri.partition("://")
    if not separator or scheme not in ("builtin", "file", "s3", "hf"):
        raise _malformed(leaf, "use hf://, s3://, file:// or builtin://", reason="UnknownScheme")
    # None of the four has such parts. A URI parser would cut them off, and another model would be read.
    if "?" in rest or "#" in rest:
        raise _malformed(leaf, "has a query or fragment; write ? and # in a folder's name as %3F and %23")
    if not rest.isprintable():
        raise _malformed(leaf, "contains a control or invisible character; write the address anew")
    if scheme == "builtin":
        return FolderSource(builtin.folder("models", rest))
    if scheme == "file":
        return FolderSource(_folder(leaf, rest))
    if scheme == "s3":
        _check_bucket(leaf, rest)
        from selfalign_stages.base_model.bucket import BucketSource

        return BucketSource.at_uri(leaf.uri, store=store)
    from selfalign_stages.base_model.hub import HubSource

    return HubSource.at_commit(rest, commit=leaf.revision)


def _folder(leaf: Leaf, rest: str) -> Path:
    """Decodes the path of a file URI (RFC 8089): no host, percent escapes of UTF-8."""
    host, slash, path = rest.partition("/")
    if not slash or host not in ("", "localhost"):
        raise _malformed(leaf, "names a host; write file:///PATH with three slashes, or mount the host's folder")
    try:
        text = unquote_to_bytes(f"/{path}").decode()
    except UnicodeDecodeError:
        raise _malformed(leaf, "has percent escapes that are not UTF-8; write the path anew") from None
    if "\0" in text:
        raise _malformed(leaf, "contains %00, which no path does")
    try:
        exists = Path(text).is_dir()
    except OSError as error:  # a name that is too long, a loop of links, a folder above it that is not to be read
        raise _malformed(
            leaf, f"cannot be opened: {error.strerror}; check the path", reason="BaseModelMissing"
        ) from error
    if not exists:
        raise _malformed(leaf, "there is no such folder", reason="BaseModelMissing")
    return Path(text)


def _check_bucket(leaf: Leaf, rest: str) -> None:
    bucket, _, prefix = rest.partition("/")
    if BUCKET.fullmatch(bucket) is None:
        raise _malformed(leaf, f"has no bucket '{shown(bucket)}'; write s3://BUCKET/PREFIX")
    if len(prefix.encode()) > LONGEST_KEY:
        raise _malformed(leaf, f"has a prefix of more than {LONGEST_KEY} bytes, which no key has")


def _malformed(leaf: Leaf, problem: str, *, reason: str = "BaseModelUriMalformed") -> BadInput:
    return BadInput(f"spec.baseModel.uri '{shown(leaf.uri)}': {problem}", reason=reason)
