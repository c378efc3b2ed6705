"""Settings and credentials of the base model's source: spec.baseModel.secretRef stands apart from the store's Secret.

In a pod its variables have a prefix, since both may hold AWS_ACCESS_KEY_ID; on one machine there is none.
"""

import os

PREFIX = "BASE_MODEL_"


def setting(name: str) -> str | None:
    """The variable for base models alone, else the plain one, else None."""
    return os.environ.get(PREFIX + name) or os.environ.get(name)


def own_credentials() -> dict[str, str]:
    """What boto3's session is given where base models have S3 credentials of their own, else nothing."""
    names = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
    return {name.lower(): value for name in names if (value := os.environ.get(PREFIX + name))}
