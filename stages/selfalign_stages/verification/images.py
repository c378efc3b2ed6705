"""Checks every byte of an image, in a registry or in a folder, for `selfalign verify`.

Registries check digests when a blob arrives and never again; nodes check them when they pull, at the moment when the
image is needed. Blobs are read in blocks and compared, so that memory and disk stay small whatever the image's size.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from selfalign_stages.contract import strict_json
from selfalign_stages.contract.exits import BadInput, Unavailable
from selfalign_stages.contract.paths import inside
from selfalign_stages.registry import documents, references, uses
from selfalign_stages.registry.calls import BLOCK_BYTES
from selfalign_stages.registry.documents import Descriptor, ImageManifest, Index
from selfalign_stages.registry.pulling import MAX_DEPTH, ReadRepository

DAMAGE = ("DigestMismatch", "InvalidManifest", "TooLarge", "ReadsDiffer", "ServerError")
"""Reasons of errors that are about one object. The last two also end other steps as retryable; here, after the same
repetitions, they are what is wrong with it."""
Open = Callable[[Descriptor], ImageManifest | Index]
Check = Callable[[Descriptor], None]


def verify_image(reference: str, *, plain_http: bool = False) -> list[str]:
    """Downloads all of an image and compares it; of an index all its images.

    Args:
        reference: REGISTRY/PATH, with a tag or digest.
        plain_http: connect without TLS.

    Returns:
        One line for each manifest, configuration or layer that is missing or damaged; none if the image is whole.

    Raises:
        BadInput: the reference is none, or the registry has no such image.
        AccessDenied, Unavailable: the registry cannot be asked.
    """
    name, version = references.parse_reference(reference)
    with ReadRepository(name, plain_http=plain_http, use=uses.VERIFY) as repository:
        try:
            found = repository.document(version)
        except (BadInput, Unavailable) as error:
            if error.reason in DAMAGE:
                return [str(error)]
            raise
        return list(_problems(found, lambda one: repository.document(one.digest, size=one.size), repository.check_blob))


def verify_layout(folder: Path) -> list[str]:
    """Compares all of an OCI image layout (image-spec, image-layout.md).

    Args:
        folder: contains oci-layout, index.json and blobs/.

    Returns:
        One line for each file that is missing or damaged; none if the layout is whole.
    """

    def parse(descriptor: Descriptor) -> ImageManifest | Index:
        if descriptor.size > documents.MAX_BYTES:
            raise BadInput(f"{_blob(folder, descriptor)}: has {descriptor.size} bytes, too many for a manifest")
        _check_file(folder, descriptor)
        path = _blob(folder, descriptor)
        return _parsed(path, path.read_bytes())

    try:
        _check_version(folder)
        index = inside(folder, "index.json")
        found = _parsed(index, _read(index))
    except BadInput as error:
        return [str(error)]
    return list(_problems(found, parse, lambda one: _check_file(folder, one)))


def _problems(found: ImageManifest | Index, parse: Open, check: Check) -> Iterator[str]:
    """Yields the problems of everything that a manifest or index refers to, each blob once."""
    visited: set[str] = set()
    waiting: list[tuple[ImageManifest | Index, int]] = [(found, 0)]
    while waiting:
        current, depth = waiting.pop(0)
        blobs = current.blobs if isinstance(current, ImageManifest) else current.manifests
        for descriptor in blobs:
            if descriptor.digest in visited:
                continue
            visited.add(descriptor.digest)
            try:
                if isinstance(current, ImageManifest):
                    check(descriptor)
                elif depth == MAX_DEPTH:
                    raise BadInput(f"{descriptor.digest}: more than {MAX_DEPTH} indexes within each other")
                else:
                    waiting.append((parse(descriptor), depth + 1))
            except BadInput as error:
                yield str(error)
            except Unavailable as error:
                if error.reason not in DAMAGE:
                    raise
                yield str(error)


def _check_version(folder: Path) -> None:
    path = inside(folder, "oci-layout")
    try:
        content = strict_json.loads(_read(path))
    except ValueError as error:
        raise BadInput(f"{path}: {error}", reason="InvalidLayout") from error
    version = content.get("imageLayoutVersion") if isinstance(content, dict) else None
    if version != "1.0.0":
        raise BadInput(f"{path}: imageLayoutVersion is {str(version)[:60]!r}, not '1.0.0'", reason="InvalidLayout")


def _check_file(folder: Path, descriptor: Descriptor) -> None:
    """Compares one blob of a layout with its descriptor."""
    path = _regular(_blob(folder, descriptor))
    sha, size = hashlib.new(descriptor.digest.partition(":")[0]), 0
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                sha.update(block)
                size += len(block)
    except OSError as error:
        raise BadInput(f"{path}: {_words(error)}", reason="BlobNotFound") from error
    if size != descriptor.size or sha.hexdigest() != descriptor.digest.partition(":")[2]:
        raise BadInput(f"{path}: has {size} of {descriptor.size} bytes, or other ones", reason="DigestMismatch")


def _blob(folder: Path, descriptor: Descriptor) -> Path:
    return inside(folder, "blobs/" + descriptor.digest.replace(":", "/"))


def _read(path: Path) -> bytes:
    """Reads a small file; more than any manifest has is not read."""
    _regular(path)
    try:
        with path.open("rb") as file:
            return file.read(documents.MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{path}: {_words(error)}", reason="InvalidLayout") from error


def _regular(path: Path) -> Path:
    # Opening a pipe would wait for a writer.
    if path.exists() and not path.is_file():
        raise BadInput(f"{path}: is no file", reason="InvalidLayout")
    return path


def _words(error: OSError) -> str:
    return "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"


def _parsed(path: Path, data: bytes) -> ImageManifest | Index:
    try:
        return documents.parse(data)
    except ValueError as error:
        raise BadInput(f"{path}: {error}", reason="InvalidManifest") from error
