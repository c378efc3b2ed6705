"""A client for one repository of an OCI registry (distribution-spec 1.1), with errors as StageErrors.

The few requests of the protocol are made here instead of by a tool such as crane or skopeo: the pods would need one
more binary, its messages could not name the manifest's fields, and its exit codes do not separate a registry that
denies access (final) from one that is down (retried). Section names in this module and in `pulling` are those of the
specification.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

import httpx

from selfalign_stages.contract.exits import BadInput, StageError, Unavailable
from selfalign_stages.registry import documents, references, retrying, uses
from selfalign_stages.registry.calls import BLOCK_BYTES, COMMIT_SECONDS, Answer, Call
from selfalign_stages.registry.documents import Descriptor, ImageManifest
from selfalign_stages.registry.downloads import DIGEST_HEADER
from selfalign_stages.registry.pulling import UNKNOWN_SIZE, ReadRepository

EMPTY_BODY = {"Content-Length": "0"}
UPLOAD_LOST = (404, *retrying.STATUSES)
"""Statuses after which a blob is sent again from its beginning. 404: the registry has forgotten the upload session."""


class Repository(ReadRepository):
    """A repository to push to; arguments and errors as for ReadRepository."""

    def __init__(
        self,
        name: str,
        *,
        plain_http: bool = False,
        use: uses.Use = uses.PUSH,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(name, plain_http=plain_http, use=use, pause=pause)

    def mount_blob(self, digest: str, source: references.RepositoryName) -> bool:
        """Makes a blob of another repository available here without a transfer ("Mounting a blob").

        Args:
            digest: the blob.
            source: repository that has it. Only the same registry can mount it; for registries without mounts, the
                response opens an upload instead (202), which expires unused.

        Returns:
            Whether the blob is mounted; otherwise it has to be uploaded.
        """
        if source.api_host != self.name.api_host:
            return False
        query = urlencode({"mount": digest, "from": source.path})
        return self._request("POST", f"blobs/uploads/?{query}", EMPTY_BODY).status == 201

    def put_blob(self, path: Path, descriptor: Descriptor) -> None:
        """Uploads a file as one blob ("Pushing a blob monolithically, POST then PUT").

        Chunked uploads could resume, but registries differ in them; a blob that breaks off is sent from its beginning.

        Args:
            path: the file, which is streamed.
            descriptor: its digest and size; the registry rejects other bytes.

        Raises:
            BadInput: as for every method, or the registry keeps a damaged blob of this digest.
        """
        started = False

        def attempt() -> Answer:
            nonlocal started
            # An earlier attempt may have arrived, and only its answer got lost.
            if started and self.has_blob(descriptor):
                return Answer(201, httpx.Headers(), self._connection.url(""))
            location = self._start_upload()
            started = True
            # Merged: the session's URL may carry a state of the registry in its query, which has to be sent back.
            return self._connection.once(
                Call(
                    "PUT",
                    location.copy_merge_params({"digest": descriptor.digest}),
                    {"Content-Length": str(descriptor.size), "Content-Type": "application/octet-stream"},
                    lambda: _blocks(path),
                    COMMIT_SECONDS,
                )
            )

        answer = self._connection.retried(attempt, repeatable=True, statuses=UPLOAD_LOST)
        self._require_digest(self._connection.require_success(answer), descriptor.digest)
        # Registries take a digest that they know for stored, whatever they have under it.
        if (size := self._head_blob(descriptor.digest)) not in (None, UNKNOWN_SIZE, descriptor.size):
            raise BadInput(
                f"{self.name}: the registry has {size} of the {descriptor.size} bytes of {descriptor.digest}, and "
                "keeps them instead of those that were sent: delete the blob at the registry (garbage collection), or "
                "let spec.image.repository name another registry",
                reason="BlobDamaged",
            )

    def put_manifest(self, manifest: ImageManifest, reference: str) -> None:
        """Pushes a manifest under a tag or its digest, after all blobs that it refers to ("Pushing Manifests").

        Raises:
            BadInput: as for every method, or the registry stored other bytes.
            Unavailable: as for every method, or the tag refers to another image right after.
        """
        digest = documents.digest_of(manifest.data, reference if references.is_digest(reference) else "sha256:")
        headers = {"Content-Type": str(manifest.content["mediaType"])}
        url = self._connection.url(f"manifests/{reference}")
        answer = self._connection.request(Call("PUT", url, headers, manifest.data, COMMIT_SECONDS))
        self._require_digest(self._connection.require_success(answer), digest)
        if (found := self.digest(reference)) != digest:
            raise Unavailable(
                f"{self.name}:{reference}: refers to {found or 'nothing'} right after it was set to {digest}: another "
                "run or program moves the same tag; let only one of them use it (spec.image.tag, spec.image.promoteTo)",
                reason="TagMoved",
            )

    def probe(self) -> None:
        """Starts an upload and cancels it, which shows whether pushing is permitted."""
        location = self._start_upload()
        # A courtesy: uploads that nobody ends expire, and not every registry can cancel.
        with suppress(StageError):
            self._connection.request(Call("DELETE", location))

    def _start_upload(self) -> httpx.URL:
        """Returns the URL of a new upload session."""
        answer = self._request("POST", "blobs/uploads/", EMPTY_BODY)
        return self._connection.own_url(self._connection.require_success(answer))

    def _require_digest(self, answer: Answer, digest: str) -> None:
        said = answer.headers.get(DIGEST_HEADER, digest)
        if references.is_digest(said) and said.partition(":")[0] == digest.partition(":")[0] and said != digest:
            raise BadInput(
                f"{self.name}: the registry stored {said} where {digest} was sent: something on the way changes what "
                "is pushed; check proxies between here and the registry",
                reason="DigestMismatch",
            )


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
