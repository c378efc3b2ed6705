"""Authenticates to registries, with the credentials that `docker login` or an image pull Secret left behind.

Credentials come from Docker's config.json: a Secret of type kubernetes.io/dockerconfigjson has that file as its
content, so a pod and a user's machine are read alike. Authentication itself is not part of the OCI distribution-spec.
Registries follow the distribution project's "Token Authentication Specification" (docs/content/spec/auth/token.md):
a 401 names a token server, which exchanges the password for a short-lived Bearer token; simple registries ask for
HTTP Basic instead (RFC 7617).
"""

import base64
import binascii
import json
import os
import re
import shutil
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import httpx

CHALLENGE_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
"""A parameter of a WWW-Authenticate header (RFC 9110, section 11.6.1), such as realm="https://auth.example/token"."""
HELPER_SECONDS = 30
"""Time limit of a credential helper, which may wait for a key ring that nobody unlocks."""


@dataclass(frozen=True)
class Credentials:
    """User name and password of one registry; both are empty for anonymous access."""

    user: str = ""
    password: str = ""


def for_registry(host: str) -> Credentials:
    """Returns the credentials of a registry from config.json in $DOCKER_CONFIG or ~/.docker.

    Args:
        host: HOST or HOST:PORT of the registry.

    Returns:
        In this order: an entry of `auths` (with or without a scheme), the credential helper that `credHelpers` names
        for the host, the one of `credsStore`. Anonymous credentials if there is none, or the file is unreadable: the
        registry's refusal then names the remedy.
    """
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return Credentials()
    auths = config.get("auths") or {}
    # Where a helper is in use, docker login leaves an empty entry in `auths`.
    entry: dict[str, str] = next(
        (auths[name] for name in (host, f"https://{host}", f"http://{host}") if name in auths), {}
    )
    if entry.get("auth"):
        return _decode(entry["auth"])
    if entry.get("username"):
        return Credentials(entry["username"], entry.get("password", ""))
    helper = (config.get("credHelpers") or {}).get(host) or config.get("credsStore")
    return _from_helper(helper, host) if helper else Credentials()


def _decode(auth: str) -> Credentials:
    """Decodes `auth` of config.json: USER:PASSWORD in base64."""
    try:
        user, _, password = base64.b64decode(auth).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return Credentials()
    return Credentials(user, password)


def _from_helper(helper: str, host: str) -> Credentials:
    """Runs docker-credential-HELPER (docker-credential-helpers, "get": host on stdin, JSON on stdout)."""
    program = shutil.which(f"docker-credential-{helper}")
    if program is None:
        return Credentials()
    completed = subprocess.run([program, "get"], input=host, capture_output=True, text=True, timeout=HELPER_SECONDS)
    if completed.returncode != 0:
        return Credentials()
    output = json.loads(completed.stdout)
    return Credentials(output.get("Username", ""), output.get("Secret", ""))


class RegistryAuth(httpx.Auth):
    """Answers the authentication challenges of one registry.

    The Authorization header that a challenge led to is sent with all further requests. A token covers only the
    repository and actions that were challenged, and expires, so any request may be challenged anew.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials, self._authorization = credentials, ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sends a request, and once more with new authorization if it is challenged (httpx, custom authentication).

        The response to the second attempt is final: a further 401 means that the credentials lack a permission.
        """
        if self._authorization:
            request.headers["Authorization"] = self._authorization
        response = yield request
        challenge = response.headers.get("WWW-Authenticate", "")
        if response.status_code != httpx.codes.UNAUTHORIZED or not challenge:
            return
        # Scheme names are case-insensitive (RFC 9110, section 11.1).
        if challenge.lower().startswith("basic"):
            self._authorization = self._basic()
        else:
            token_response = yield self._token_request(dict(CHALLENGE_PARAMETER.findall(challenge)))
            token_response.read()
            token = _token(token_response)
            self._authorization = f"Bearer {token}" if token else ""
        if self._authorization:
            request.headers["Authorization"] = self._authorization
            yield request

    def _basic(self) -> str:
        user, password = self._credentials.user, self._credentials.password
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""

    def _token_request(self, challenge: dict[str, str]) -> httpx.Request:
        """Returns the request for a token ("Requesting a Token"); without credentials the token is anonymous."""
        parameters = {name: value for name, value in challenge.items() if name in ("service", "scope")}
        headers = {"Authorization": basic} if (basic := self._basic()) else {}
        return httpx.Request("GET", challenge.get("realm", ""), params=parameters, headers=headers)


def _token(response: httpx.Response) -> str:
    """Returns the token of a token server's response ("Token Response Fields"), empty if it granted none."""
    if response.status_code != httpx.codes.OK:
        return ""
    fields = response.json()
    return str(fields.get("token") or fields.get("access_token") or "")
