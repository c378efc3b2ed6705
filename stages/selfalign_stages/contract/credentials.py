"""Where a pod finds the credentials of its run, beside the environment.

A Secret in the environment is read once, when the container starts. Credentials that expire (STS sessions, tokens of a
hub) are renewed in the Secret while a step runs for days, and only a mounted Secret shows that: the kubelet updates the
files (core/v1, Secret volumes). The operator therefore mounts the Secrets that it also puts into the environment, and
stage processes read the files anew for every request.
"""

from pathlib import Path

FOLDER = Path("/etc/selfalign/credentials")
"""Parent of the mounted Secrets, one file per key in each. On one machine there is none, and the environment counts."""
ARTIFACTS, BASE_MODEL = "artifacts", "base-model"
"""Names of the folders with spec.artifacts.secretRef and spec.baseModel.secretRef."""
