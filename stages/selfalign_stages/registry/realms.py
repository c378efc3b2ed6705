"""Decides where a registry's credentials may go. Pure.

A registry's answers name other places: the realm that exchanges passwords for tokens, the location of an upload, the
target of a redirect. Whoever answers in the registry's name chooses them, and would otherwise choose who receives the
password. The rules are those that go-containerregistry (issues 2193 and 2258) and oras-go (2.6.1) arrived at.
"""

import ipaddress
import re
import socket

import httpx

from selfalign_stages.contract.exits import AccessDenied

PORTS = {"http": 80, "https": 443}
Origin = tuple[str, str, int | None]
"""Scheme, host and port of a server. Credentials for one are for no other (RFC 6454)."""


_HOST = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
"""Names that a resolver takes; it raises UnicodeError for longer labels (RFC 1035)."""


def parse_url(text: str, base: httpx.URL | None = None) -> httpx.URL:
    """Parses the URL of a server that another server names.

    Args:
        text: the URL.
        base: resolves a relative one.

    Raises:
        ValueError: it is no http or https URL, or one with a user name, which httpx would make an Authorization of.
    """
    try:
        url = httpx.URL(text) if base is None else base.join(text)
        host, port = url.raw_host.decode("ascii"), url.port or 0
        valid = bool(_HOST.fullmatch(host)) or ipaddress.ip_address(host).version == 6
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from None
    if not valid or url.scheme not in PORTS or port > 65535 or url.userinfo:
        raise ValueError("is no plain http or https URL")
    return url


def origin(url: httpx.URL) -> Origin:
    """Returns the origin of a URL, with the scheme's port where the URL names none."""
    return url.scheme, url.raw_host.decode("ascii").lower().rstrip("."), url.port or PORTS.get(url.scheme)


def place(url: httpx.URL) -> str:
    """Returns SCHEME://HOST:PORT of a URL for a message: paths and queries may contain tokens."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def check_realm(realm: str, registry: Origin) -> httpx.URL:
    """Parses the realm of a Bearer challenge, which will receive the credentials.

    Accepted is https, or plain http at the registry itself if that is used without TLS. Other hosts are legitimate
    over https, Docker Hub's realm is auth.docker.io; addresses of this machine or its network are so only if the
    registry has the same.

    Args:
        realm: parameter of the challenge.
        registry: origin of the registry.

    Raises:
        AccessDenied: it may not receive them.
    """
    try:
        url = parse_url(realm)
    except ValueError:
        raise _refused(f"realm {realm[:100]!r} is no https URL") from None
    target = origin(url)
    if url.scheme == "http" and target != registry:
        raise _refused(f"realm {place(url)} has no TLS")
    if _is_local(target[1]) and target[1] != registry[1]:
        raise _refused(f"realm {place(url)} is an address of this machine or its network, and not the registry's own")
    return url


def _refused(problem: str) -> AccessDenied:
    return AccessDenied(
        f"credentials are not sent to its token server: the {problem}; a token server needs https, or has to be the "
        "registry itself where that is used without TLS",
        reason="RealmRefused",
    )


def _is_local(host: str) -> bool:
    """Whether a host is this machine or in its network, as far as its name shows."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(host)
    except ValueError:
        try:
            # Resolvers also take 127.1, 0x7f000001 and 2130706433 for addresses.
            address = ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return not address.is_global or address.is_multicast
