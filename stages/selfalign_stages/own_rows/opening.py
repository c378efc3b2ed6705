"""Opens a file with rows of one's own, wherever it is, through the clients that read base models.

One client a place means one set of rules about endpoints, tokens, retries and certificates. Their messages name the
fields of the base model and of the store; here they are rewritten to name those of the file (`reading` adds the rest).
"""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from selfalign_stages.base_model import settings, verifying
from selfalign_stages.base_model.quoting import shown
from selfalign_stages.contract import rules
from selfalign_stages.contract.exits import AccessDenied, BadInput, StageError
from selfalign_stages.contract.file_errors import size_text
from selfalign_stages.contract.task import Leaf, StoreLocation
from selfalign_stages.own_rows import addresses, lines
from selfalign_stages.pack import files

LISTED = 3
"""Files of a repository that a message lists."""


@dataclass(frozen=True)
class RowFile:
    """A file with rows of one's own, as the manifest names it.

    Attributes:
        name: leaf name; the Secret that belongs to it is used.
        leaf: address, commit and, after preflight, digest.
        field: path of the manifest's object with fields uri, revision and secretRef.
        store: the run's artifact store. An s3:// file is read from the same service unless its Secret names another.
    """

    name: str
    leaf: Leaf
    field: str
    store: StoreLocation

    def problem(self, message: str, *, reason: str) -> BadInput:
        """The error for what is wrong with the file, by field and address."""
        return BadInput(f"{self.field}.uri '{shown(self.leaf.uri)}': {message}", reason=reason)


@contextmanager
def opened(file: RowFile, *, scratch: Path | None = None) -> Iterator[BinaryIO]:
    """Opens a file for reading within the block.

    Args:
        file: the file.
        scratch: folder for a download; None: the system's for temporary files.

    Raises:
        BadInput: the address is malformed, or there is no such file.
        AccessDenied: the credentials are missing or refused, or this user may not read the file.
        Unavailable: the service is down or throttles.
    """
    try:
        address = addresses.parse(file.leaf.uri)
    except ValueError as error:
        raise file.problem(str(error), reason="RowsUriMalformed") from error
    with _naming(file), settings.belonging_to(file.name):
        if address.scheme == "file":
            with _local(file) as stream:
                yield stream
        elif address.scheme == "s3":
            with _object(file, address) as stream:
                yield stream
        else:
            with tempfile.TemporaryDirectory(prefix="selfalign-", dir=scratch) as folder:
                target = Path(folder) / "file"
                _download(file, address, target)
                with target.open("rb") as stream:
                    yield stream


@contextmanager
def _local(file: RowFile) -> Iterator[BinaryIO]:
    try:
        path = files.local_path(file.leaf.uri)
        # O_NONBLOCK: opening a pipe would wait for someone who writes to it. It means nothing for regular files.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except PermissionError as error:
        raise AccessDenied(
            f"{file.field}.uri: {shown(str(path))}: user id {os.getuid()} may not read it; let this user read it"
        ) from error
    except (OSError, ValueError) as error:
        text = getattr(error, "strerror", None) or str(error)
        raise file.problem(f"cannot be read: {text}; correct the path", reason="RowsMissing") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise file.problem("is a folder, pipe, device or socket: name a file", reason="RowsMissing")
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


@contextmanager
def _object(file: RowFile, address: addresses.Address) -> Iterator[BinaryIO]:
    from selfalign_stages.base_model.bucket import BucketSource

    source = BucketSource.at_uri(f"s3://{address.container}", store=file.store)
    try:
        stream = source.store.open(address.path)
    except FileNotFoundError as error:
        raise file.problem("there is no such object: correct bucket and key", reason="RowsMissing") from error
    with stream:
        yield stream


def _download(file: RowFile, address: addresses.Address, target: Path) -> None:
    """Downloads a file of a repository, and compares it with the listing."""
    from selfalign_stages.base_model.hub import HubSource

    source = HubSource.at_commit(
        address.container, commit=file.leaf.revision, kind="dataset" if address.dataset else "model"
    )
    listed = {one.path: one for one in source.list_files()}
    if (entry := listed.get(address.path)) is None:
        known = [path for path in listed if path.endswith(rules.ROW_FILE_SUFFIXES)] or list(listed)
        names = ", ".join(shown(path) for path in known[:LISTED])
        raise file.problem(f"the repository has no file {shown(address.path)}; it has {names}", reason="RowsMissing")
    if entry.size > lines.LARGEST:
        raise file.problem(f"has more than {size_text(lines.LARGEST)}, the most that is read", reason="RowsTooLarge")
    verifying.fetch(source.fetch, entry, target)


@contextmanager
def _naming(file: RowFile) -> Iterator[None]:
    """Replaces field names of base model and store in a StageError's message by those of the file."""
    try:
        yield
    except StageError as error:
        # The type and the reason stay but for their words: they decide about retries.
        raise type(error)(_named(str(error), file.field), reason=error.reason.replace("BaseModel", "Rows")) from error


def _named(message: str, field: str) -> str:
    for owner in ("spec.baseModel", "spec.artifacts"):
        # What spec.artifacts has fields for are variables of other Secrets.
        for name, variable in {"endpoint": "AWS_ENDPOINT_URL", "region": "AWS_REGION"}.items():
            message = message.replace(f"{owner}.{name}", f"{variable} of {field}.secretRef")
        message = message.replace(owner, field)
    return message if field in message else f"{field}.uri: {message}"
