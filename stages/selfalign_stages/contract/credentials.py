"""Where a pod finds the credentials of its run, beside the environment.

A Secret in the environment is read once, when the container starts. Credentials that expire (STS sessions, tokens of a
hub) are renewed in the Secret while a step runs for days, and only a mounted Secret shows that: the kubelet updates the
files (core/v1, Secret volumes). The operator therefore mounts the Secrets that it also puts into the environment, and
stage processes read the files anew for every request.
"""

import re
from pathlib import Path

FOLDER = Path("/etc/selfalign/credentials")
"""Parent of the mounted Secrets, one file per key in each. On one machine there is none, and the environment counts."""
ARTIFACTS = "artifacts"
"""Name of the folder with spec.artifacts.secretRef. Those of leaves are named after them: see `folder_name`."""


def folder_name(leaf: str) -> str:
    """Returns the name of the folder with the Secret of a leaf: `base-model` for baseModel.

    It is part of a volume's name as well, hence lower case and hyphens alone.
    """
    return "-".join(part.lower() for part in re.findall("[A-Z]?[a-z]+|[0-9]+", leaf))


def variable_prefix(leaf: str) -> str:
    """Returns the prefix of the variables from the Secret of a leaf: `BASE_MODEL_` for baseModel.

    S3 keys of a leaf's bucket must not replace those of the artifact store, which have the same names.
    """
    return folder_name(leaf).upper().replace("-", "_") + "_"
