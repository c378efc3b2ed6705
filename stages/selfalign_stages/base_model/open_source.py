"""Opens the source that the URI of a base model names.

The clients of the Hub and of S3 are imported only for hf:// and s3://: each takes a good part of a second, and a
preflight of a local model starts without them.
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from selfalign_stages import builtin
from selfalign_stages.base_model.sources import FolderSource, Source
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.task import Leaf, StoreLocation


def open_source(leaf: Leaf, *, store: StoreLocation) -> Source:
    """Opens a base model; reads nothing yet from S3 or the Hub.

    Args:
        leaf: URI of the model and, for hf://, its commit.
        store: the run's artifact store. An s3:// model is read from the same S3 service, with the same endpoint and
            credentials, unless the base model has settings of its own.

    Raises:
        BadInput: the scheme is unknown, the folder or built-in is missing, or an hf:// model has no commit.
    """
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

        return BucketSource.at_uri(leaf.uri, store=store)
    if scheme == "hf":
        from selfalign_stages.base_model.hub import HubSource

        return HubSource.at_commit(rest, commit=leaf.revision)
    raise BadInput(f"spec.baseModel.uri {leaf.uri!r}: use hf://, s3://, file:// or builtin://", reason="UnknownScheme")
