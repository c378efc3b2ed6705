"""Requests for tokens and what token servers answer (distribution, "Token Authentication Specification"). Pure.

A password is exchanged with a GET, an identity token with a POST ("OAuth2 Token Authentication"). Token servers without
the latter answer 404 or 405, and are asked again with the former.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx

from selfalign_stages.contract import strict_json
from selfalign_stages.registry.credentials import HEADER_TEXT, Credentials

CLIENT_ID = "selfalign"
"""Name of this program, which OAuth2 requires."""
DEFAULT_SECONDS = 60.0
"""Lifetime of a token whose server does not say it ("Token Response Fields")."""
NO_POST = (404, 405)
"""Statuses of a token server that knows no identity tokens."""


@dataclass(frozen=True)
class Grant:
    """What a token is asked for.

    Attributes:
        realm: the token server.
        service: name of the registry there; "" if the challenge had none.
        scopes: RESOURCE:ACTION,ACTION each.
    """

    realm: httpx.URL
    service: str
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class TokenRequest:
    """A request to a token server."""

    method: str
    url: httpx.URL
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True)
class Token:
    """A token and the seconds that it is valid for."""

    value: str
    seconds: float


def with_password(grant: Grant, credentials: Credentials) -> TokenRequest:
    """Builds "Requesting a Token"; without credentials the token is anonymous."""
    # The realm's own query stays; every scope is a parameter of its own.
    given = [(name, value) for name, value in grant.realm.params.multi_items() if name not in ("service", "scope")]
    service = [("service", grant.service)] if grant.service else []
    query: list[tuple[str, Any]] = [*given, *service, *(("scope", scope) for scope in grant.scopes)]
    basic = credentials.basic()
    url = grant.realm.copy_with(params=httpx.QueryParams(query)) if query else grant.realm
    return TokenRequest("GET", url, {"Authorization": basic} if basic else {})


def with_identity(grant: Grant, credentials: Credentials) -> TokenRequest:
    """Builds "Getting a token" by an identity token. It is in the body, which no server logs."""
    form = {
        "grant_type": "refresh_token",
        "service": grant.service,
        "client_id": CLIENT_ID,
        "scope": " ".join(grant.scopes),
        "refresh_token": credentials.identity_token,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return TokenRequest("POST", grant.realm, headers, urlencode(form).encode())


def parse(body: bytes) -> Token:
    """Reads the answer of a token server.

    Raises:
        ValueError: it contains no token. The message does not contain the answer.
    """
    try:
        fields = strict_json.loads(body)
    except ValueError:
        raise ValueError("answers with something else than JSON") from None
    if not isinstance(fields, dict):
        raise ValueError("answers with JSON that is no object")
    value = fields.get("token") or fields.get("access_token")
    if not isinstance(value, str) or not HEADER_TEXT.fullmatch(value):
        raise ValueError("answers with JSON without a usable token")
    return Token(value, _seconds(fields.get("expires_in")))


def _seconds(value: Any) -> float:
    """Reads `expires_in`, which some servers write as a text."""
    try:
        seconds = 0.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return DEFAULT_SECONDS
    return seconds if 0 < seconds < float("inf") else DEFAULT_SECONDS
