"""Where the API server serves Kueue's Workloads: versions of its API come and go with Kueue's releases. Pure.

v1beta1 is deprecated since Kueue 0.15 and will not be served for ever. The operator reads `status.conditions` of a
Workload alone, which are the same in both versions.

Access to the API server: none of its own; `cluster.client` reads the discovery document, which every account may read.
"""

from collections.abc import Mapping
from typing import Any

GROUP_PATH = "/apis/kueue.x-k8s.io"
"""Path of the discovery document of Kueue's API group (APIGroup of meta/v1)."""
KNOWN_VERSIONS = ("v1beta2", "v1beta1")
"""Versions of Workload that are known to have the conditions that the operator reads, the newest first."""


def workloads_path(group: Mapping[str, Any]) -> str:
    """Returns the path of Workloads up to the namespace, with `{}` for its name.

    Args:
        group: the discovery document.

    Returns:
        The path in the newest known version that is served; if none is, in the version that the API server prefers.
    """
    served = {entry["version"] for entry in group["versions"]}
    preferred = group["preferredVersion"]["version"]
    version = next((known for known in KNOWN_VERSIONS if known in served), preferred)
    return f"{GROUP_PATH}/{version}/namespaces/{{}}/workloads"
