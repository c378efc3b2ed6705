"""Reads settings and credentials of the base model's source: from the mounted Secret, else from the environment.

The base model may lie in another account than the artifact store, so spec.baseModel.secretRef is a Secret of its own
beside spec.artifacts.secretRef. Both may hold AWS_ACCESS_KEY_ID. The operator therefore mounts each in a folder of its
own, and gives the variables of the base model's Secret the prefix BASE_MODEL_. The plain name is the fallback: on a
user's machine HF_TOKEN alone is enough.

Nothing is remembered: tokens expire, and the mounted files are renewed while a step runs.
"""

import os
from pathlib import Path

from selfalign_stages.contract import credentials
from selfalign_stages.contract.exits import AccessDenied

PREFIX = "BASE_MODEL_"
S3_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def setting(name: str) -> str | None:
    """Returns a setting: the mounted file's content, else the variable with the prefix, else the plain one, else None.

    Blanks and newlines around a value are removed: `echo TOKEN | base64` leaves one in a Secret. Empty counts as unset.

    Raises:
        AccessDenied: the mounted file cannot be read.
    """
    return _mounted(name) or _variable(PREFIX + name) or _variable(name)


def own_credentials() -> dict[str, str]:
    """Returns the S3 credentials of spec.baseModel.secretRef in the environment, as keyword arguments of a session.

    Returns:
        An empty dictionary where the base model has none of its own; those of the artifact store then count.
    """
    return {name.lower(): value for name in S3_CREDENTIALS if (value := _variable(PREFIX + name))}


def mounted_credentials() -> Path | None:
    """Returns the folder of the mounted Secret if it has S3 credentials, which are to be read anew for every request.

    Raises:
        AccessDenied: the file with the access key cannot be read.
    """
    return _folder() if _mounted(S3_CREDENTIALS[0]) else None


def _folder() -> Path:
    return credentials.FOLDER / credentials.BASE_MODEL


def _variable(name: str) -> str | None:
    return os.environ.get(name, "").strip() or None


def _mounted(name: str) -> str | None:
    path = _folder() / name
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        # Not the error's own text: that of a decoding error contains the secret.
        raise AccessDenied(
            f"spec.baseModel.secretRef: {path} cannot be read ({type(error).__name__}); the Secret's key {name} has to "
            "be a text, readable for the stage's user"
        ) from None
