"""Finds the credentials of a repository in what `docker login` or an image pull Secret left behind.

Credentials come from Docker's config.json: a Secret of type kubernetes.io/dockerconfigjson has that file as its
content, so a pod and a user's machine are read alike. The file is read anew at each call. The kubelet replaces it in a
running pod when the Secret changes, and passwords of cloud registries live for hours only.

The order is that of docker (cli, configfile.GetCredentialsStore): the helper that `credHelpers` names for the registry,
else the one of `credsStore`, else `auths`. Unlike docker, `auths` also counts where a helper has nothing or fails: a
config.json that was copied from a desktop into a Secret names a helper that no pod has. Within `auths` the longest
matching path wins, as in containers-auth.json(5).
"""

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from selfalign_stages.contract import strict_json
from selfalign_stages.registry import credential_helpers
from selfalign_stages.registry.references import DOCKER_HUB, DOCKER_HUB_NAMES, RepositoryName

DOCKER_HUB_SERVER = "https://index.docker.io/v1/"
"""Docker Hub's name in `auths` and for helpers, which dates from the first registry protocol."""
TOKEN_USER = "<token>"
"""User name with which helpers mark their secret as an identity token."""
HEADER_TEXT = re.compile("[!-~]+")
"""What may stand in an Authorization header: visible ASCII, without blanks and line ends."""
_SCHEME = re.compile("https?://", re.IGNORECASE)


@dataclass(frozen=True)
class Credentials:
    """What to authenticate with; all is empty for anonymous access.

    Attributes:
        user: user name.
        password: password, which may contain any bytes (surrogateescape).
        identity_token: refresh token of a token server, such as `az acr login` stores.
        registry_token: Bearer token to send as it is.
        problem: why parts of config.json were of no use; "" if nothing was wrong. Contains no secrets, and belongs
            into the message if the registry then denies access.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    problem: str = ""

    @property
    def anonymous(self) -> bool:
        """Whether there is nothing to authenticate with."""
        return not (self.user or self.identity_token or self.registry_token)

    def basic(self) -> str:
        """Value of an Authorization header with user and password (RFC 7617), "" without a user."""
        if not self.user:
            return ""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode(errors="surrogateescape")).decode()


def for_repository(repository: RepositoryName) -> Credentials:
    """Returns the credentials of a repository from config.json in $DOCKER_CONFIG or ~/.docker.

    Args:
        repository: what will be accessed.

    Returns:
        Anonymous credentials if there are none. An unusable file, entry or helper is no error either, because public
        images need none; `problem` has the words for the case that the registry denies access.
    """
    path = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    try:
        config = strict_json.loads(path.read_bytes())
    except FileNotFoundError:
        return Credentials()
    except OSError as error:
        return Credentials(problem=f"{path} cannot be read: {error.strerror}")
    except ValueError as error:
        return Credentials(problem=f"{path} is of no use: {error}")
    if not isinstance(config, dict):
        return Credentials(problem=f"{path} is of no use: it is no JSON object")
    found, problems = _search(config, repository)
    return replace(found, problem="; ".join(f"{path}: {problem}" for problem in problems))


def _search(config: Mapping[str, Any], repository: RepositoryName) -> tuple[Credentials, list[str]]:
    """Returns the first credentials in docker's order, and what was wrong on the way."""
    problems: list[str] = []
    if helper := _helper(config, repository):
        try:
            answer = credential_helpers.get(
                helper, DOCKER_HUB_SERVER if repository.host == DOCKER_HUB else repository.host
            )
        except credential_helpers.HelperFailed as error:
            problems.append(str(error))
        else:
            if answer is not None:
                user, secret = answer
                found = Credentials(identity_token=secret) if user == TOKEN_USER else Credentials(user, secret)
                return found, problems
    auths = config.get("auths")
    if not isinstance(auths, dict):
        return Credentials(), problems + (["auths is no JSON object"] if auths is not None else [])
    for key, entry in _matching(auths, repository):
        try:
            found = _from_entry(entry)
        except ValueError as error:
            problems.append(f"auths[{key!r}] {error}")
        else:
            # Where a helper is in use, docker login leaves an empty entry in `auths`.
            if not found.anonymous:
                return found, problems
    return Credentials(), problems


def _helper(config: Mapping[str, Any], repository: RepositoryName) -> str:
    helpers = config.get("credHelpers")
    for key, helper in helpers.items() if isinstance(helpers, dict) else ():
        if _split_key(key) == (repository.host.lower(), "") and isinstance(helper, str):
            return helper  # "" switches credsStore off for this registry
    store = config.get("credsStore")
    return store if isinstance(store, str) else ""


def _matching(auths: Mapping[str, Any], repository: RepositoryName) -> list[tuple[str, Any]]:
    """Returns the entries of `auths` that cover a repository, the most specific first."""
    found: list[tuple[int, str, Any]] = []
    for key, entry in auths.items():
        host, path = _split_key(key)
        if host == repository.host.lower() and (not path or f"{repository.path}/".startswith(f"{path}/")):
            found.append((len(path), key, entry))
    # Stable: of two spellings of the same place, the file's first counts.
    return [(key, entry) for _, key, entry in sorted(found, key=lambda item: -item[0])]


def _split_key(key: str) -> tuple[str, str]:
    """Splits a key of `auths`, HOST, HOST/PATH or either with a scheme, into host and path."""
    host, _, path = _SCHEME.sub("", key, count=1).partition("/")
    path = path.strip("/")
    # URLs of the registry protocol itself, which docker wrote in place of the host.
    if path in ("v1", "v2"):
        path = ""
    host = host.lower()
    return (DOCKER_HUB if host in DOCKER_HUB_NAMES else host), path


def _from_entry(entry: object) -> Credentials:
    """Reads one entry of `auths`.

    Raises:
        ValueError: its fields have other types, or contain something else than credentials.
    """
    if not isinstance(entry, dict):
        raise ValueError("is no JSON object")
    values = {
        name: entry.get(name) or "" for name in ("auth", "username", "password", "identitytoken", "registrytoken")
    }
    if wrong := [name for name, value in values.items() if not isinstance(value, str)]:
        raise ValueError(f"has a {wrong[0]} that is no text")
    user, password = _decode(values["auth"]) if values["auth"] else (values["username"], values["password"])
    if values["registrytoken"] and not HEADER_TEXT.fullmatch(values["registrytoken"]):
        raise ValueError("has a registrytoken that no HTTP header can contain")
    return Credentials(user, password, values["identitytoken"], values["registrytoken"])


def _decode(auth: str) -> tuple[str, str]:
    """Decodes `auth`: USER:PASSWORD in base64.

    Raises:
        ValueError: it is something else.
    """
    # Encoders differ in line breaks, padding and alphabet; none of these changes what is meant.
    text = "".join(auth.split()).rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise ValueError("has an auth that is not base64") from None
    user, colon, password = raw.decode(errors="surrogateescape").partition(":")
    if not colon or not user:
        raise ValueError("has an auth that is not USER:PASSWORD in base64")
    return user, password.strip("\0")  # old versions of docker padded with zeros
