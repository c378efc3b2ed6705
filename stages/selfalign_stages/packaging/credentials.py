"""Sign-in to a registry: Docker's config.json, and the token dance of the distribution project (docs/spec/auth)."""

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

CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Credentials:
    """A user's name and password, as they stand in config.json; empty for nobody."""

    user: str = ""
    password: str = ""


def find(host: str) -> Credentials:
    """Those for a registry: inline, or by the credential helper that the file names."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return Credentials()
    auths = config.get("auths") or {}
    entry: dict[str, str] = next(
        (auths[name] for name in (host, f"https://{host}", f"http://{host}") if name in auths), {}
    )
    if entry.get("auth"):
        return _decoded(entry["auth"])
    if entry.get("username"):
        return Credentials(entry["username"], entry.get("password", ""))
    helper = (config.get("credHelpers") or {}).get(host) or config.get("credsStore")
    return _helped(helper, host) if helper else Credentials()


def _decoded(auth: str) -> Credentials:
    try:
        user, _, password = base64.b64decode(auth).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return Credentials()
    return Credentials(user, password)


def _helped(helper: str, host: str) -> Credentials:
    program = shutil.which(f"docker-credential-{helper}")
    if program is None:
        return Credentials()
    told = subprocess.run([program, "get"], input=host, capture_output=True, text=True, timeout=30)
    if told.returncode != 0:
        return Credentials()
    answer = json.loads(told.stdout)
    return Credentials(answer.get("Username", ""), answer.get("Secret", ""))


class RegistryAuth(httpx.Auth):
    """Answers a registry's challenge: Basic with the password, Bearer with a token that it fetches and keeps."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials, self._kept = credentials, ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sends what worked before; on a challenge signs in once and asks again."""
        if self._kept:
            request.headers["Authorization"] = self._kept
        response = yield request
        challenge = response.headers.get("WWW-Authenticate", "")
        if response.status_code != httpx.codes.UNAUTHORIZED or not challenge:
            return
        if challenge.lower().startswith("basic"):
            self._kept = self._basic()
        else:
            answer = yield self._token_request(dict(CHALLENGE.findall(challenge)))
            answer.read()
            token = _token(answer)
            self._kept = f"Bearer {token}" if token else ""
        if self._kept:
            request.headers["Authorization"] = self._kept
            yield request

    def _basic(self) -> str:
        who = self._credentials
        return "Basic " + base64.b64encode(f"{who.user}:{who.password}".encode()).decode() if who.user else ""

    def _token_request(self, challenge: dict[str, str]) -> httpx.Request:
        """Asks the realm for a token; without credentials for an anonymous one."""
        parameters = {name: value for name, value in challenge.items() if name in ("service", "scope")}
        headers = {"Authorization": basic} if (basic := self._basic()) else {}
        return httpx.Request("GET", challenge.get("realm", ""), params=parameters, headers=headers)


def _token(answer: httpx.Response) -> str:
    if answer.status_code != httpx.codes.OK:
        return ""
    told = answer.json()
    return str(told.get("token") or told.get("access_token") or "")
