"""Opens the base model that a leaf names; the clients of hubs and buckets are imported only where they are used."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from selfalign_stages import builtin
from selfalign_stages.base.local_folder import LocalFolder
from selfalign_stages.base.source import FIELD, Source
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.task import Leaf, StoreLocation


def open_source(leaf: Leaf, *, store: StoreLocation) -> Source:
    """The source; s3:// is read from the service that holds the artifacts, if they are in S3 too."""
    scheme, _, rest = leaf.uri.partition("://")
    if scheme == "builtin":
        return LocalFolder(leaf.uri, builtin.folder("models", rest))
    if scheme == "file":
        return LocalFolder(leaf.uri, Path(unquote(urlsplit(leaf.uri).path)))
    if scheme == "s3":
        from selfalign_stages.base.bucket import Bucket

        return Bucket(leaf.uri, store=store)
    if scheme == "hf":
        from selfalign_stages.base.hub import Hub

        return Hub(leaf.uri, revision=leaf.revision)
    raise BadInput(
        f"{FIELD} {leaf.uri!r}: use builtin://NAME, file:///folder, s3://bucket/prefix or hf://org/name",
        reason="BaseModelMissing",
    )
