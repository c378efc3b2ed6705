"""Reads settings and credentials of the base model's source from the environment.

The base model may lie in another account than the artifact store, so spec.baseModel.secretRef is a Secret of its own
beside spec.artifacts.secretRef. Both may hold AWS_ACCESS_KEY_ID. The operator therefore gives the variables of the
base model's Secret the prefix BASE_MODEL_, and the plain name is the fallback: on a user's machine HF_TOKEN alone
is enough.
"""

import os

PREFIX = "BASE_MODEL_"
S3_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def setting(name: str) -> str | None:
    """Returns a variable's value: with the prefix if set, else the plain one, else None; empty counts as unset."""
    return os.environ.get(PREFIX + name) or os.environ.get(name)


def own_credentials() -> dict[str, str]:
    """Returns the S3 credentials of spec.baseModel.secretRef as keyword arguments of a boto3 session.

    Returns:
        An empty dictionary where the base model has no credentials of its own; boto3 then searches its usual chain,
        which finds those of the artifact store.
    """
    return {name.lower(): value for name in S3_CREDENTIALS if (value := os.environ.get(PREFIX + name))}
