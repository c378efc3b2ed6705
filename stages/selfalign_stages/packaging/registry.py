"""One repository of a registry (OCI distribution-spec 1.1). Refusals and outages become the contract's errors."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from selfalign_stages.contract.exits import AccessDenied, BadInput, Unavailable
from selfalign_stages.packaging import credentials

MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
ACCEPTED = {"Accept": ", ".join((*MANIFESTS, *INDEXES))}
EMPTY = {"Content-Length": "0"}
DIGEST = "Docker-Content-Digest"
TIMEOUT = httpx.Timeout(60, connect=10)
BLOCK = 1 << 20


class Repository:
    """`name` is REGISTRY/PATH without a tag; `plain_http` speaks to a registry without TLS."""

    def __init__(self, name: str, *, plain_http: bool = False) -> None:
        self.name = name
        host, _, path = name.partition("/")
        self._client = httpx.Client(
            base_url=f"{'http' if plain_http else 'https'}://{host}/v2/{path}/",
            auth=credentials.RegistryAuth(credentials.find(host)),
            timeout=TIMEOUT,
            follow_redirects=True,
        )

    def __enter__(self) -> "Repository":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def digest(self, reference: str) -> str | None:
        """Digest of the manifest under a tag or a digest, None if there is none."""
        answer = self._ask("HEAD", f"manifests/{reference}", headers=ACCEPTED)
        return None if answer.status_code == httpx.codes.NOT_FOUND else self._fine(answer).headers.get(DIGEST)

    def manifest(self, reference: str) -> bytes:
        """A manifest's bytes; of an index those for linux/amd64."""
        answer = self._ask("GET", f"manifests/{reference}", headers=ACCEPTED)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise BadInput(f"{self.name}:{reference}: the registry has no such image", reason="ImageNotFound")
        data = self._fine(answer).content
        told = json.loads(data)
        if told.get("mediaType") not in INDEXES:
            return data
        ours = [str(entry["digest"]) for entry in told["manifests"] if _is_ours(entry)]
        if not ours:
            raise BadInput(f"{self.name}:{reference}: has no image for linux/amd64", reason="ImageNotFound")
        return self.manifest(ours[0])

    def blob(self, digest: str) -> bytes:
        """A small blob, such as an image's config."""
        return self._fine(self._ask("GET", f"blobs/{digest}")).content

    def fetch(self, digest: str, target: Path) -> None:
        """A large blob, streamed to a file."""
        try:
            with self._client.stream("GET", f"blobs/{digest}") as answer, target.open("wb") as sink:
                for block in self._fine(answer).iter_bytes(BLOCK):
                    sink.write(block)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def has(self, digest: str) -> bool:
        """Whether the repository has a blob."""
        return self._ask("HEAD", f"blobs/{digest}").status_code == httpx.codes.OK

    def mount(self, digest: str, source: str) -> bool:
        """Takes over a blob of another repository of the same registry; False if the registry does not."""
        path = f"blobs/uploads/?mount={digest}&from={source.partition('/')[2]}"
        return self._ask("POST", path, headers=EMPTY).status_code == httpx.codes.CREATED

    def put_blob(self, path: Path, *, digest: str, size: int) -> None:
        """Streams a file in one request; the registry checks the digest."""
        session = httpx.URL(self._session()).copy_merge_params({"digest": digest})
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        try:
            # the session is open and signed in: a challenge could not be answered, as the stream is read once
            self._fine(self._client.put(session, content=_blocks(path), headers=headers))
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def put_manifest(self, data: bytes, reference: str) -> None:
        """Publishes a manifest under a tag or its digest."""
        headers = {"Content-Type": json.loads(data)["mediaType"]}
        self._fine(self._ask("PUT", f"manifests/{reference}", content=data, headers=headers))

    def probe(self) -> None:
        """Begins an upload and gives it up: AccessDenied where pushing is refused."""
        self._ask("DELETE", self._session())

    def _session(self) -> str:
        answer = self._fine(self._ask("POST", "blobs/uploads/", headers=EMPTY))
        return str(answer.url.join(answer.headers["Location"]))

    def _ask(
        self, method: str, url: str, *, content: bytes | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        try:
            return self._client.request(method, url, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: httpx.HTTPError) -> Unavailable:
        return Unavailable(f"{self.name}: cannot reach the registry: {error}; see spec.image.repository and plainHttp")

    def _fine(self, answer: httpx.Response) -> httpx.Response:
        code = answer.status_code
        if code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise AccessDenied(
                f"{self.name}: the registry refuses us: give spec.image.pushSecretRef a Secret of type "
                "kubernetes.io/dockerconfigjson that may push there (on one machine: docker login)"
            )
        if code == httpx.codes.TOO_MANY_REQUESTS or code >= 500:
            raise Unavailable(f"{self.name}: the registry answers {code} {answer.reason_phrase}")
        if code >= 400:
            answer.read()
            raise BadInput(f"{self.name}: the registry answers {code}: {answer.text[:300]}", reason="PushRefused")
        return answer


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def _is_ours(entry: dict[str, Any]) -> bool:
    platform = entry.get("platform", {})
    return bool(platform.get("os") == "linux" and platform.get("architecture") == "amd64")
