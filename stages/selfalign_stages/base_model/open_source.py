"""Opens the source that a base model's leaf names; clients of hubs and buckets are imported only for their schemes."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from selfalign_stages import builtin
from selfalign_stages.base_model.sources import FolderSource, Source
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.task import Leaf, StoreLocation


def open_source(leaf: Leaf, *, store: StoreLocation) -> Source:
    """The source that a base model's leaf names; s3:// is read from the service that the store is in, if it is S3."""
    scheme, _, rest = leaf.uri.partition("://")
    if scheme == "builtin":
        return FolderSource(builtin.folder("models", rest))
    if scheme == "file":
        folder = Path(unquote(urlsplit(leaf.uri).path))
        if not folder.is_dir():
            raise BadInput(f"spec.baseModel.uri {leaf.uri!r}: there is no such folder", reason="BaseModelMissing")
        return FolderSource(folder)
    if scheme == "s3":
        from selfalign_stages.base_model.bucket import BucketSource

        return BucketSource.of(leaf.uri, store=store)
    if scheme == "hf":
        from selfalign_stages.base_model.hub import HubSource

        return HubSource.of(rest, revision=leaf.revision)
    raise BadInput(f"spec.baseModel.uri {leaf.uri!r}: use hf://, s3://, file:// or builtin://", reason="UnknownScheme")
