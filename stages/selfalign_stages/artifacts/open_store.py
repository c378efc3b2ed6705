"""Opens the store at a location.

boto3 is imported only for s3://. Its import takes about half a second, which a step on a file:// store need not pay.
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from selfalign_stages.artifacts.file_store import FileStore
from selfalign_stages.contract.task import StoreLocation
from selfalign_stages.step.store import Store


def open_store(location: StoreLocation) -> Store:
    """Opens a store. Changes nothing: the folder of a file:// store is created by the first write, a bucket never."""
    if location.uri.startswith("s3://"):
        from selfalign_stages.artifacts.s3_store import S3Store

        return S3Store(location)
    return FileStore(Path(unquote(urlsplit(location.uri).path)))
