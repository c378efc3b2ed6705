"""The reading half of a registry client: everything that is read is verified. See `registry` for the other half."""

import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Self

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.registry import documents, downloads, references, uses
from selfalign_stages.registry.calls import Answer, Call
from selfalign_stages.registry.connection import Connection
from selfalign_stages.registry.documents import Descriptor, ImageManifest, Index
from selfalign_stages.registry.downloads import DIGEST_HEADER

# Images to build on may still be in Docker's formats (image manifest version 2, schema 2).
ACCEPT_MANIFESTS = {"Accept": ", ".join((*documents.MANIFESTS, *documents.INDEXES))}
MAX_DEPTH = 2
"""Indexes on the way to an image: an index of indexes exists, and one that names itself must not be followed."""
PLATFORM = ("linux", "amd64")
UNKNOWN_SIZE = -1


class ReadRepository:
    """A repository to read; a context manager that closes its connections. Threads may share it.

    Args:
        name: REGISTRY/PATH without a tag, such as "registry.example:5000/team/ida"; without REGISTRY/ one of docker.io.
        plain_http: connect without TLS, for registries inside a cluster.
        use: what for, which decides about the words of errors.
        pause: waits for a number of seconds between two attempts.

    Every method raises, besides what it documents:

    - AccessDenied: the registry denies access;
    - Unavailable: it is throttled, down or unreachable, after a few retries;
    - BadInput: it rejects the request otherwise.
    """

    def __init__(
        self,
        name: str,
        *,
        plain_http: bool = False,
        use: uses.Use,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = references.parse_repository(name)
        self._connection = Connection(self.name, use, plain_http=plain_http, pause=pause)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def digest(self, reference: str) -> str | None:
        """Returns the digest of the manifest that a tag or digest refers to ("Checking if content exists").

        Returns:
            None if there is no such manifest.
        """
        answer = self._request("HEAD", f"manifests/{reference}", ACCEPT_MANIFESTS)
        said = answer.headers.get(DIGEST_HEADER, "")
        if answer.success and references.is_digest(said):
            return str(said)
        if answer.status == 404:
            return None
        if not answer.success and answer.status != 405:
            raise self._connection.refusals.of(answer)
        # Neither the header nor HEAD is required of registries.
        try:
            like = reference if references.is_digest(reference) else "sha256:"
            return documents.digest_of(self.document(reference).data, like)
        except BadInput as error:
            if error.reason == "ImageNotFound":
                return None
            raise

    def document(self, reference: str, *, size: int | None = None) -> ImageManifest | Index:
        """Returns what a tag or digest refers to ("Pulling manifests"), verified.

        Args:
            reference: tag or digest.
            size: its bytes if an index says them.

        Raises:
            BadInput: there is no such image, the registry has other bytes under its digest, or it is no image.
        """
        by_digest = references.is_digest(reference)
        image = f"{self.name}{'@' if by_digest else ':'}{reference}"
        call = Call("GET", self._connection.url(f"manifests/{reference}"), ACCEPT_MANIFESTS)
        try:
            found = downloads.document(self._connection, call, image, reference if by_digest else None, size)
        except BadInput as error:
            if error.reason == "NotFound":
                raise BadInput(f"{image}: the registry has no such image", reason="ImageNotFound") from error
            raise
        try:
            return documents.parse(found.data, found.content_type)
        except ValueError as error:
            raise BadInput(f"{image}: {error}", reason="InvalidManifest") from error

    def image(self, reference: str) -> ImageManifest:
        """Returns the manifest of an image; of an index that of linux/amd64, the platform of the inference servers.

        Raises:
            BadInput: as for `document`, or there is no image for linux/amd64.
        """
        found = self.document(reference)
        for _ in range(MAX_DEPTH):
            if isinstance(found, ImageManifest):
                return found
            descriptor = _linux_amd64(found)
            if descriptor is None:
                raise BadInput(f"{self.name}:{reference}: has no image for linux/amd64", reason="ImageNotFound")
            found = self.document(descriptor.digest, size=descriptor.size)
        if isinstance(found, ImageManifest):
            return found
        raise BadInput(f"{self.name}:{reference}: has indexes within indexes, and no image", reason="InvalidManifest")

    def read_blob(self, descriptor: Descriptor) -> bytes:
        """Returns a blob that fits in memory, such as an image's configuration ("Pulling blobs"), verified."""
        if descriptor.size > documents.MAX_BYTES:
            raise BadInput(
                f"{self.name}: {descriptor.digest} has {descriptor.size >> 20} MiB, and a configuration has at most "
                f"{documents.MAX_BYTES >> 20}",
                reason="TooLarge",
            )
        data = io.BytesIO()
        self._download(descriptor, data)
        return data.getvalue()

    def download_blob(self, descriptor: Descriptor, target: Path) -> None:
        """Streams a blob of any size to the file `target` ("Pulling blobs"), which remains only if it is right."""
        try:
            with target.open("wb") as sink:
                self._download(descriptor, sink)
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    def check_blob(self, descriptor: Descriptor) -> None:
        """Downloads a blob, compares it and keeps nothing.

        Raises:
            BadInput: the registry has no such blob, or other bytes under its digest.
        """
        self._download(descriptor, None)

    def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether the repository has a blob, by digest and size ("Checking if content exists in the registry").

        False also if the registry refuses the request: the upload that follows reports why.
        """
        return self._head_blob(descriptor.digest) in (descriptor.size, UNKNOWN_SIZE)

    def _head_blob(self, digest: str) -> int | None:
        """Returns the size of a blob, UNKNOWN_SIZE if the registry does not say it, None if there is none."""
        answer = self._request("HEAD", f"blobs/{digest}")
        if answer.status != 200:
            return None
        length = answer.headers.get("Content-Length", "")
        return int(length) if length.isascii() and length.isdigit() else UNKNOWN_SIZE

    def _download(self, descriptor: Descriptor, sink: BinaryIO | None) -> None:
        call = Call("GET", self._connection.url(f"blobs/{descriptor.digest}"))
        name = f"{self.name}@{descriptor.digest}"
        try:
            downloads.blob(self._connection, call, name, descriptor, sink)
        except BadInput as error:
            if error.reason == "NotFound":
                raise BadInput(
                    f"{name}: the registry has no such blob: push the image again", reason="BlobNotFound"
                ) from error
            raise

    def _request(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self._connection.request(Call(method, self._connection.url(path), headers or {}))


def _linux_amd64(index: Index) -> Descriptor | None:
    """Chooses the entry for linux/amd64; one without a platform, such as a nested index, if no other is for it."""
    for descriptor in index.manifests:
        if descriptor.platform is not None and (descriptor.platform.os, descriptor.platform.architecture) == PLATFORM:
            return descriptor
    return next((descriptor for descriptor in index.manifests if descriptor.platform is None), None)
