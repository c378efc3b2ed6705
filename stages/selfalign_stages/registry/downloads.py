"""Downloads from a registry, compared with digest and size; a difference is downloaded again before it counts.

The rule is that of the artifact store (artifacts.checked): bytes that are right after a repetition were damaged on the
way. The same wrong bytes each time are what the registry has, and no repetition heals that. Other bytes each time, or a
connection that breaks each time, say nothing about what it has.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import httpx

from selfalign_stages.contract.exits import BadInput, Unavailable
from selfalign_stages.registry import documents, references
from selfalign_stages.registry.calls import BLOCK_BYTES, BROKEN, Call, read
from selfalign_stages.registry.connection import Connection
from selfalign_stages.registry.documents import Descriptor

READS = 3
"""Downloads of what arrives wrong."""
DIGEST_HEADER = "Docker-Content-Digest"


@dataclass(frozen=True)
class Arrived:
    """What one download brought.

    Attributes:
        digest: of the bytes that arrived.
        problem: how they differ from what was to arrive, None if they do not.
    """

    digest: str
    problem: str | None


@dataclass(frozen=True)
class Document:
    """A manifest or index as it was sent."""

    data: bytes
    content_type: str


def blob(connection: Connection, call: Call, name: str, descriptor: Descriptor, sink: BinaryIO | None) -> None:
    """Downloads a blob in blocks.

    Args:
        connection: to the registry.
        call: the request.
        name: the blob in messages.
        descriptor: its digest and size.
        sink: receives the bytes; emptied before each download. None: they are only compared.

    Raises:
        BadInput: the registry has no such blob, or has other bytes under its digest.
        Unavailable: the registry is down, or the bytes were others each time.
    """
    algorithm = descriptor.digest.partition(":")[0]

    def attempt(response: httpx.Response) -> Arrived:
        sha, size = hashlib.new(algorithm), 0
        if sink is not None:
            sink.seek(0)
            sink.truncate()
        for block in response.iter_raw(BLOCK_BYTES):
            sha.update(block)
            size += len(block)
            if size > descriptor.size:  # never more on the disk than was announced, and a block
                break
            if sink is not None:
                sink.write(block)
        digest = f"{algorithm}:{sha.hexdigest()}"
        right = (digest, size) == (descriptor.digest, descriptor.size)
        more = "or more " if size > descriptor.size else ""
        return Arrived(
            digest, None if right else f"{size} {more}of {descriptor.size} bytes arrived, with digest {digest}"
        )

    _settle(connection, call, name, attempt)


def document(connection: Connection, call: Call, name: str, digest: str | None, size: int | None) -> Document:
    """Downloads a manifest or index.

    Args:
        connection: to the registry.
        call: the request.
        name: the image in messages.
        digest: digest that it was asked for by; None compares it with the one that the registry sends.
        size: its bytes if they are known.

    Raises:
        BadInput: the registry has no such image, other bytes under its digest, or more than any manifest has.
        Unavailable: as for `blob`.
    """
    result = Document(b"", "")

    def attempt(response: httpx.Response) -> Arrived:
        nonlocal result
        data = read(response, documents.MAX_BYTES)
        if len(data) > documents.MAX_BYTES:
            raise BadInput(
                f"{name}: its manifest has more than {documents.MAX_BYTES >> 20} MiB, and may not", reason="TooLarge"
            )
        result = Document(data, response.headers.get("Content-Type", ""))
        said = response.headers.get(DIGEST_HEADER, "")
        expected = digest or (said if references.is_digest(said) else None)
        arrived = documents.digest_of(data, expected or "sha256:")
        wrong = arrived != (expected or arrived) or len(data) != (len(data) if size is None else size)
        return Arrived(
            arrived, f"a manifest of {len(data)} bytes with digest {arrived} arrived, not {expected}" if wrong else None
        )

    _settle(connection, call, name, attempt)
    return result


def _settle(connection: Connection, call: Call, name: str, attempt: Callable[[httpx.Response], Arrived]) -> None:
    """Repeats a download until it is right.

    Args:
        connection: to the registry.
        call: the request.
        name: what is downloaded, for messages.
        attempt: reads the content of a response.
    """
    arrived: set[str] = set()
    problem = ""
    for number in range(READS):
        try:
            with connection.stream(call) as response:
                result = attempt(response)
        except BROKEN as error:
            problem = connection.refusals.words(str(error)) or type(error).__name__
            arrived.add(f"broken {number}")
            continue
        if result.problem is None:
            return
        problem = result.problem
        arrived.add(result.digest)
    if len(arrived) == 1 and not any(digest.startswith("broken") for digest in arrived):
        raise BadInput(
            f"{name}: the registry has other bytes than its digest says: {problem}; push it again, under another "
            "repository if the registry keeps the damaged one",
            reason="DigestMismatch",
        )
    raise Unavailable(
        f"{name}: {READS} downloads broke off or brought other bytes each time; the last: {problem}; check the network "
        "and whatever lies between here and the registry",
        reason="ReadsDiffer",
    )
