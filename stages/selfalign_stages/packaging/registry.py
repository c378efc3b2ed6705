"""A client for one repository of an OCI registry (distribution-spec 1.1), with errors as StageErrors.

The few requests of the protocol are made here instead of by a tool such as crane or skopeo: the pods would need one
more binary, its messages could not name the manifest's fields, and its exit codes do not separate a registry that
denies access (final) from one that is down (retried). Section names in this module are those of the specification.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from selfalign_stages.contract.exits import AccessDenied, BadInput, Unavailable
from selfalign_stages.packaging import credentials

# Images to build on may still be in Docker's formats (image manifest version 2, schema 2).
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
ACCEPT_MANIFESTS = {"Accept": ", ".join((*MANIFESTS, *INDEXES))}
EMPTY_BODY = {"Content-Length": "0"}
DIGEST_HEADER = "Docker-Content-Digest"
TIMEOUT = httpx.Timeout(60, connect=10)
"""Seconds per read, write and pool wait, not per transfer: a registry that stores a large blob may pause that long."""
BLOCK_BYTES = 1 << 20
ERROR_CHARACTERS = 300
"""Most characters of a registry's error body in a message."""


class Repository:
    """A repository; a context manager that closes its connections.

    Args:
        name: REGISTRY/PATH without a tag, such as "registry.example:5000/team/ida".
        plain_http: connect without TLS, for registries inside a cluster.
    """

    def __init__(self, name: str, *, plain_http: bool = False) -> None:
        self.name = name
        host, _, path = name.partition("/")
        self._client = httpx.Client(
            base_url=f"{'http' if plain_http else 'https'}://{host}/v2/{path}/",
            auth=credentials.RegistryAuth(credentials.for_registry(host)),
            timeout=TIMEOUT,
            follow_redirects=True,  # blobs are often served by an object store that the registry redirects to
        )

    def __enter__(self) -> "Repository":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def digest(self, reference: str) -> str | None:
        """Returns the digest of the manifest that a tag or digest refers to ("Checking if content exists").

        Returns:
            None if there is no such manifest, or the registry does not send the digest header.

        Raises:
            AccessDenied: the registry denies access.
            Unavailable: it is throttled, down or unreachable.
            BadInput: it rejects the request otherwise.
        """
        response = self._request("HEAD", f"manifests/{reference}", headers=ACCEPT_MANIFESTS)
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        digest: str | None = self._require_success(response).headers.get(DIGEST_HEADER)
        return digest

    def manifest(self, reference: str) -> bytes:
        """Returns the manifest that a tag or digest refers to ("Pulling manifests"); of an index that of linux/amd64.

        Raises:
            BadInput: there is no such image, or none for linux/amd64, the platform of the inference servers.
        """
        response = self._request("GET", f"manifests/{reference}", headers=ACCEPT_MANIFESTS)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise BadInput(f"{self.name}:{reference}: the registry has no such image", reason="ImageNotFound")
        # The bytes as sent: their digest is the image's, and a re-encoded manifest would have another one.
        data = self._require_success(response).content
        parsed = json.loads(data)
        if parsed.get("mediaType") not in INDEXES:
            return data
        digests = [str(descriptor["digest"]) for descriptor in parsed["manifests"] if _is_linux_amd64(descriptor)]
        if not digests:
            raise BadInput(f"{self.name}:{reference}: has no image for linux/amd64", reason="ImageNotFound")
        return self.manifest(digests[0])

    def read_blob(self, digest: str) -> bytes:
        """Returns a blob that fits in memory, such as an image's config ("Pulling blobs")."""
        return self._require_success(self._request("GET", f"blobs/{digest}")).content

    def download_blob(self, digest: str, target: Path) -> None:
        """Streams a blob of any size to the file `target` ("Pulling blobs")."""
        try:
            with self._client.stream("GET", f"blobs/{digest}") as response, target.open("wb") as sink:
                for block in self._require_success(response).iter_bytes(BLOCK_BYTES):
                    sink.write(block)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def has_blob(self, digest: str) -> bool:
        """Whether the repository has a blob ("Checking if content exists in the registry").

        False also if the registry refuses the request: the upload that follows reports why.
        """
        return self._request("HEAD", f"blobs/{digest}").status_code == httpx.codes.OK

    def mount_blob(self, digest: str, source: str) -> bool:
        """Makes a blob of another repository available here without a transfer ("Mounting a blob").

        Args:
            digest: the blob.
            source: REGISTRY/PATH of a repository that has it. Only the same registry can mount it; for another one,
                and for registries without mounts, the response opens an upload instead (202), which expires unused.

        Returns:
            Whether the blob is mounted; otherwise it has to be uploaded.
        """
        path = f"blobs/uploads/?mount={digest}&from={source.partition('/')[2]}"
        return self._request("POST", path, headers=EMPTY_BODY).status_code == httpx.codes.CREATED

    def put_blob(self, path: Path, *, digest: str, size: int) -> None:
        """Uploads a file as one blob ("Pushing a blob monolithically, POST then PUT").

        Chunked uploads could resume, but registries differ in them; a blob that breaks off is sent from its beginning.

        Args:
            path: the file, which is streamed.
            digest: its digest; the registry rejects other bytes.
            size: its bytes.
        """
        # Merged: the session's URL may carry a state of the registry in its query, which has to be sent back.
        location = httpx.URL(self._start_upload()).copy_merge_params({"digest": digest})
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        try:
            # The POST has answered any challenge: after a 401 to this PUT, its body, read once, could not be resent.
            self._require_success(self._client.put(location, content=_blocks(path), headers=headers))
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def put_manifest(self, data: bytes, reference: str) -> None:
        """Pushes a manifest under a tag or its digest, after all blobs that it refers to ("Pushing Manifests")."""
        headers = {"Content-Type": json.loads(data)["mediaType"]}
        self._require_success(self._request("PUT", f"manifests/{reference}", content=data, headers=headers))

    def probe(self) -> None:
        """Starts an upload and cancels it, which shows whether pushing is permitted.

        Raises:
            AccessDenied: it is not.
            Unavailable: the registry is throttled, down or unreachable.
        """
        self._request("DELETE", self._start_upload())

    def _start_upload(self) -> str:
        """Returns the absolute URL of a new upload session; registries may send a relative Location."""
        response = self._require_success(self._request("POST", "blobs/uploads/", headers=EMPTY_BODY))
        return str(response.url.join(response.headers["Location"]))

    def _request(
        self, method: str, url: str, *, content: bytes | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        try:
            return self._client.request(method, url, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: httpx.HTTPError) -> Unavailable:
        return Unavailable(
            f"{self.name}: cannot reach the registry: {error}; check spec.image.repository, and spec.image.plainHttp "
            "for a registry without TLS"
        )

    def _require_success(self, response: httpx.Response) -> httpx.Response:
        """Returns the response, or raises the StageError of its status."""
        status = response.status_code
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise AccessDenied(
                f"{self.name}: the registry denies access (HTTP {status}): give spec.image.pushSecretRef a Secret of "
                "type kubernetes.io/dockerconfigjson that may push there (on one machine: docker login)"
            )
        if status == httpx.codes.TOO_MANY_REQUESTS or status >= 500:
            raise Unavailable(f"{self.name}: the registry answers HTTP {status} {response.reason_phrase}")
        if status >= 400:
            response.read()  # a streamed response has no text until it is read
            raise BadInput(
                f"{self.name}: the registry answers HTTP {status}: {response.text[:ERROR_CHARACTERS]}",
                reason="PushRefused",
            )
        return response


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def _is_linux_amd64(descriptor: dict[str, Any]) -> bool:
    platform = descriptor.get("platform", {})
    return bool(platform.get("os") == "linux" and platform.get("architecture") == "amd64")
