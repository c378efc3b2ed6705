"""Whether credentials were refused because they have expired: another attempt reads the Secret anew, and may succeed.

Servers refuse expired and wrong credentials with the same status. What tells them apart is the server's text, or the
token itself: a JSON Web Token says until when it is valid. Pure.
"""

import base64
import binascii
import json
import re
from datetime import UTC, datetime

REASON = "CredentialsExpired"
"""Reason of the StageError, an Unavailable: counted, retried with a growing delay."""
_WORDS = re.compile(r"\bexpired\b|expired_?token|token_?expired", re.IGNORECASE)
_CERTIFICATE = re.compile(r"certificate", re.IGNORECASE)


def says_expired(text: str) -> bool:
    """Returns whether a server's text about refused credentials says that they have expired.

    Certificates do not count: no Secret of a run renews a server's.
    """
    return _WORDS.search(text) is not None and _CERTIFICATE.search(text) is None


def is_expired_token(token: str, now: datetime) -> bool:
    """Returns whether a token is a JSON Web Token (RFC 7519) whose claim `exp` is in the past; False for all others.

    Args:
        token: the token; its signature is not verified, since the server has already refused it.
        now: the current time, with its zone.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return False
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return datetime.fromtimestamp(claims["exp"], UTC) <= now
    except (binascii.Error, ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError):
        return False
