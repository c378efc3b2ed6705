"""What a service account asked of the API server, from its audit log."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.cluster.control_plane import Cluster


@dataclass(frozen=True, order=True)
class Right:
    """What a rule of a Role grants: a verb on a resource of an API group; `resource` includes the subresource."""

    group: str
    resource: str
    verb: str


def used(cluster: Cluster, account: str) -> dict[Right, set[int]]:
    """Every right that the account needed, with the status codes of the responses.

    Args:
        cluster: the cluster, whose audit log has the requests of all service accounts outside kube-system.
        account: system:serviceaccount:NAMESPACE:NAME.
    """
    found: dict[Right, set[int]] = {}
    for line in cluster.audit_log.read_text().splitlines():
        event = json.loads(line)
        if event["user"]["username"] == account and "objectRef" in event:
            about = event["objectRef"]
            resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
            right = Right(about.get("apiGroup", ""), resource, event["verb"])
            found.setdefault(right, set()).add(event.get("responseStatus", {}).get("code", 0))
    return found


def granted(documents: list[dict[str, Any]], account: str) -> set[Right]:
    """Every right that the chart's roles give to its service account."""

    def of(document: dict[str, Any]) -> Iterator[Right]:
        for rule in document["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    yield from (Right(group, resource, verb) for verb in rule["verbs"])

    bound = {
        (one["roleRef"]["kind"], one["roleRef"]["name"])
        for one in documents
        if one["kind"] in ("RoleBinding", "ClusterRoleBinding")
        and any(subject["name"] == account for subject in one["subjects"])
    }
    return {right for one in documents if (one["kind"], one["metadata"]["name"]) in bound for right in of(one)}
