"""Parses image references as Docker and Podman read them: [REGISTRY/]PATH[:TAG][@DIGEST]. Pure.

The grammar is that of the distribution project's reference package, with Docker's defaults: a name without a registry
belongs to docker.io, and one without a namespace to docker.io's `library`. A name that is sent to a registry goes into
the path of a URL, so nothing but this grammar may pass.
"""

import ipaddress
import re
from dataclasses import dataclass

from selfalign_stages.contract.exits import BadInput

DOCKER_HUB, DOCKER_HUB_API = "docker.io", "registry-1.docker.io"
"""Docker Hub's name in references, and the host that speaks the registry protocol for it."""
DOCKER_HUB_NAMES = (DOCKER_HUB, "index.docker.io", DOCKER_HUB_API)
"""Hosts that mean Docker Hub, in references and in config.json."""
DEFAULT_TAG = "latest"
"""Tag of a reference that names none, as for container tools."""
MAX_NAME = 255
"""Most characters of host and path together, as the reference grammar allows."""

# At most 63 characters (RFC 1035): the resolver raises UnicodeError for more.
_HOST_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"({_HOST_LABEL}(?:\.{_HOST_LABEL})*|\[[0-9A-Fa-f:.]+\])(?::([0-9]{{1,5}}))?")
_NUMBERS = re.compile("[0-9.]+")
_PATH_PART = re.compile("[a-z0-9]+(?:(?:[.]|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile("[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile("sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_DIGEST_SHAPE = re.compile("[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:")
EXCERPT = 120
"""Characters of a wrong reference in a message."""


@dataclass(frozen=True)
class RepositoryName:
    """A repository of a registry.

    Attributes:
        host: HOST or HOST:PORT as people write it; Docker Hub is always "docker.io".
        path: path of the repository, such as "team/ida".
    """

    host: str
    path: str

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"

    @property
    def api_host(self) -> str:
        """The host to connect to."""
        return DOCKER_HUB_API if self.host == DOCKER_HUB else self.host


def parse_repository(name: str) -> RepositoryName:
    """Parses the name of a repository, which has neither a tag nor a digest.

    Raises:
        BadInput: it is none.
    """
    first, slash, rest = name.partition("/")
    # Docker's rule: only a dot, a port or "localhost" tell a host from the first part of a path.
    has_host = bool(slash) and (any(mark in first for mark in ".:[") or first == "localhost")
    host, path = (first, rest) if has_host else (DOCKER_HUB, name)
    match = _HOST.fullmatch(host)
    if match is None or int(match[2] or 0) > 65535 or not _valid_address(match[1]):
        raise _invalid(name, f"{host[:EXCERPT]!r} is no HOST or HOST:PORT")
    if host in DOCKER_HUB_NAMES:
        host = DOCKER_HUB
        path = path if "/" in path else f"library/{path}"
    for part in path.split("/"):
        if not _PATH_PART.fullmatch(part):
            raise _invalid(
                name, f"{part[:EXCERPT]!r} in its path is not made of lower-case letters and digits, with . _ - between"
            )
    if len(host) + 1 + len(path) > MAX_NAME:
        raise _invalid(name, f"it has more than {MAX_NAME} characters")
    return RepositoryName(host=host, path=path)


def parse_reference(reference: str) -> tuple[str, str]:
    """Splits an image reference into repository and tag or digest.

    "registry.example:5000/team/server:1" has the repository "registry.example:5000/team/server"; that of "ubuntu" is
    "docker.io/library/ubuntu". A digest says exactly which image is meant, so a tag beside it is dropped, as by
    container tools.

    Raises:
        BadInput: it is no image reference.
    """
    rest, at, digest = reference.partition("@")
    # A colon before the last slash belongs to the port of the registry.
    folder, slash, last = rest.rpartition("/")
    stem, colon, tag = last.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise _invalid(
            reference, f"{tag[:EXCERPT]!r} is no tag: up to 128 letters, digits, . _ -, the first a letter, digit or _"
        )
    if at and not is_digest(digest):
        raise _invalid(reference, f"{digest[:EXCERPT]!r} is no {_digest_words(digest)}")
    return str(parse_repository(folder + slash + stem)), digest if at else tag or DEFAULT_TAG


def is_digest(text: str) -> bool:
    """Whether a text is a digest that can be checked: by SHA-256 or SHA-512, the algorithms that OCI registers."""
    return _DIGEST.fullmatch(text) is not None


def _valid_address(host: str) -> bool:
    """Whether a host that looks like an address is one; others are names."""
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host[1:-1])
        elif _NUMBERS.fullmatch(host):
            ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _digest_words(digest: str) -> str:
    known = digest.startswith(("sha256:", "sha512:")) or not _DIGEST_SHAPE.match(digest)
    return "digest (sha256: and 64 hexadecimal digits)" if known else "sha256 or sha512 digest; others are not verified"


def _invalid(reference: str, problem: str) -> BadInput:
    return BadInput(
        f"{reference[:EXCERPT]!r} is no image reference: {problem}; write REGISTRY/PATH, then :TAG or @sha256:DIGEST "
        "for an image",
        reason="InvalidReference",
    )
