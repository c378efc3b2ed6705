"""Opens the store that a location names; boto3 is imported only for s3://."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from selfalign_stages.artifacts.file_store import FileStore
from selfalign_stages.contract.task import StoreLocation
from selfalign_stages.step.store import Store


def open_store(location: StoreLocation) -> Store:
    """The store; a missing folder of a file store is created."""
    if location.uri.startswith("s3://"):
        from selfalign_stages.artifacts.s3_store import S3Store

        return S3Store(location)
    return FileStore(Path(unquote(urlsplit(location.uri).path)))
