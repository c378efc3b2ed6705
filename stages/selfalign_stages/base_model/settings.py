"""Reads settings and credentials of the base model's source: from the mounted Secret, else from the environment.

The base model may lie in another account than the artifact store, so spec.baseModel.secretRef is a Secret of its own
beside spec.artifacts.secretRef. Both may hold AWS_ACCESS_KEY_ID. The operator therefore mounts each in a folder of its
own, and gives the variables of the base model's Secret the prefix BASE_MODEL_. The plain name is the fallback: on a
user's machine HF_TOKEN alone is enough. Files with rows of one's own are read by the same clients, each with the Secret
of its own leaf (`belonging_to`).

Nothing is remembered: tokens expire, and the mounted files are renewed while a step runs.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from selfalign_stages.contract import credentials
from selfalign_stages.contract.exits import AccessDenied
from selfalign_stages.contract.graph import BASE_MODEL

S3_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

# No argument of `setting`: huggingface_hub calls back for every request (hub_client), and passes nothing on.
_leaf: ContextVar[str] = ContextVar("leaf", default=BASE_MODEL)


@contextmanager
def belonging_to(leaf: str) -> Iterator[None]:
    """Makes the functions of this module read the Secret of another leaf than the base model within the block."""
    token = _leaf.set(leaf)
    try:
        yield
    finally:
        _leaf.reset(token)


def setting(name: str) -> str | None:
    """Returns a setting: the mounted file's content, else the variable with the prefix, else the plain one, else None.

    Blanks and newlines around a value are removed: `echo TOKEN | base64` leaves one in a Secret. Empty counts as unset.

    Raises:
        AccessDenied: the mounted file cannot be read.
    """
    return _mounted(name) or _variable(_prefix() + name) or _variable(name)


def own_credentials() -> dict[str, str]:
    """Returns the S3 credentials of spec.baseModel.secretRef in the environment, as keyword arguments of a session.

    Returns:
        An empty dictionary where the base model has none of its own; those of the artifact store then count.
    """
    return {name.lower(): value for name in S3_CREDENTIALS if (value := _variable(_prefix() + name))}


def mounted_credentials() -> Path | None:
    """Returns the folder of the mounted Secret if it has S3 credentials, which are to be read anew for every request.

    Raises:
        AccessDenied: the file with the access key cannot be read.
    """
    return _folder() if _mounted(S3_CREDENTIALS[0]) else None


def _folder() -> Path:
    return credentials.FOLDER / credentials.folder_name(_leaf.get())


def _prefix() -> str:
    return credentials.variable_prefix(_leaf.get())


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
