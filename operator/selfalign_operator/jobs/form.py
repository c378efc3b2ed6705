"""The form of a Job: a digest of what was rendered, by which a later rendering is compared with it. Pure.

A Job that the API server has stored cannot be compared field by field with a newly rendered one: defaults, admission
webhooks and Kueue add to it. So each Job carries the digest of what the operator sent.
"""

from typing import Any

from selfalign_operator.jobs.identity import ATTEMPT, FORM, OPERATOR
from selfalign_stages.contract.model import canonical_json, sha256_hex
from selfalign_stages.contract.task import LOG_VARIABLE

LENGTH = 16
"""Hexadecimal characters (64 bits): two renderings of one attempt must not share a form."""
NOT_PART = (ATTEMPT, "app.kubernetes.io/version")
"""Labels that differ between Jobs of one form: every attempt has its number, and a new version of the operator that
renders the same pod is no reason to replace a Job."""


def form(job: dict[str, Any]) -> str:
    """Computes the form of a rendered Job.

    Args:
        job: the Job as it is sent to the API server. Its name and annotations are left out: they follow from run,
            attempt and generation.

    Returns:
        16 hexadecimal characters, equal for equal pods in equal queues.
    """
    spec = job["spec"]
    template = spec["template"]
    pod_metadata = template["metadata"] | {"labels": _compared(template["metadata"]["labels"])}
    compared = spec | {"template": {"metadata": pod_metadata, "spec": _without_log(template["spec"])}}
    return sha256_hex(canonical_json([_compared(job["metadata"]["labels"]), compared]))[:LENGTH]


def with_form(job: dict[str, Any], *, operator: str) -> dict[str, Any]:
    """Returns a rendered Job with the annotations for its form and for the operator that renders it.

    Args:
        job: the Job; it is not changed.
        operator: NAMESPACE/NAME of the operator's Lease.
    """
    metadata = job["metadata"]
    annotations = metadata["annotations"] | {FORM: form(job), OPERATOR: operator}
    return job | {"metadata": metadata | {"annotations": annotations}}


def _without_log(pod: dict[str, Any]) -> dict[str, Any]:
    """Leaves out the name of the log, which contains the number of the attempt."""
    containers = [
        container | {"env": [variable for variable in container.get("env", []) if variable["name"] != LOG_VARIABLE]}
        for container in pod["containers"]
    ]
    return pod | {"containers": containers}


def _compared(labels: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name not in NOT_PART}
