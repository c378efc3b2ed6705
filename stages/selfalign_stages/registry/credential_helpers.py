"""Asks a credential helper, the program that keeps passwords for `docker login` in a key ring or fetches them.

Protocol of docker-credential-helpers, command `get`: the server on stdin, JSON with Username and Secret on stdout.
"""

import re
import shutil
import subprocess

from selfalign_stages.contract import strict_json

HELPER_SECONDS = 30.0
"""Time limit of a helper, which may wait for a key ring that nobody unlocks."""
NOT_FOUND = (b"credentials not found", b"no credentials")
"""What helpers print, with exit code 1, for a server that they know nothing of."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class HelperFailed(Exception):
    """A helper gave no answer. The message names it, and never contains what it printed: that may be a password."""


def get(helper: str, server: str) -> tuple[str, str] | None:
    """Runs docker-credential-HELPER.

    Args:
        helper: end of the program's name, from config.json.
        server: the registry as the helper knows it.

    Returns:
        User name and secret, None if the helper has none for this server.

    Raises:
        HelperFailed: it does not exist, fails, hangs, or prints something else than JSON.
    """
    name = f"docker-credential-{helper}"
    program = shutil.which(name) if _NAME.fullmatch(helper) else None
    if program is None:
        raise HelperFailed(f"{name[:60]!r} is not installed here")
    try:
        # A session of its own, so that a helper with a terminal cannot ask there for a password that nobody enters.
        completed = subprocess.run(
            [program, "get"], input=server.encode(), capture_output=True, timeout=HELPER_SECONDS, start_new_session=True
        )
    except subprocess.TimeoutExpired:
        raise HelperFailed(f"{name} did not answer within {HELPER_SECONDS:g} s") from None
    except OSError as error:
        raise HelperFailed(f"{name} cannot be run: {error.strerror}") from None
    if completed.returncode != 0:
        if completed.stdout.strip().lower().startswith(NOT_FOUND):
            return None
        raise HelperFailed(f"{name} ended with exit code {completed.returncode}")
    try:
        answer = strict_json.loads(completed.stdout)
    except ValueError:
        raise HelperFailed(f"{name} printed something else than JSON") from None
    user, secret = (answer.get("Username", ""), answer.get("Secret")) if isinstance(answer, dict) else ("", None)
    if not isinstance(user, str) or not isinstance(secret, str):
        raise HelperFailed(f"{name} printed JSON without a Username and a Secret")
    return (user, secret) if secret else None
