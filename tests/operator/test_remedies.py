"""Remedies name the fields that change the pods of the Job that waits. tests/cluster follows them."""

from typing import Any

import pytest
from tests.operator.test_jobs import job_of

from selfalign_operator.jobs.remedies import with_remedy
from selfalign_stages.contract.task import Failure

PULL = "spec.podDefaults.template.spec.imagePullSecrets"


def remedy(reason: str, message: str = "x", *, step: str = "selfalign-answers", **spec: Any) -> str:
    text = with_remedy(job_of(step, **spec), Failure(reason=reason, message=message)).message
    assert text.startswith(message)
    return text.removeprefix(message)


@pytest.mark.parametrize(
    ("reason", "message", "field"),
    [
        ("Unschedulable", "0/3 nodes: 3 Insufficient cpu", "change spec.stages.selfAlign.resources"),
        ("Unschedulable", "0/3 nodes: node affinity", "in spec.stages.selfAlign.template or spec.podDefaults.template"),
        ("Unschedulable", 'persistentvolumeclaim "base" not found', "create the claim, or name another one in spec."),
        ("ErrImagePull", "denied", PULL),
        ("ImagePullBackOff", "denied", "images.registry or images.tag of the operator's chart"),
        ("QuotaExceeded", "exceeded quota: q", "lower spec.stages.selfAlign.resources"),
        ("PodsRefused", 'serviceaccount "a" not found', "spec.podDefaults.serviceAccountName"),
        ("PodsRefused", "failed quota: q: must specify limits.memory", "change spec.stages.selfAlign.resources"),
        ("PodsRefused", "maximum memory usage per Container is 1Gi", "change spec.stages.selfAlign.resources"),
        (
            "PodsRefused",
            "violates PodSecurity",
            "spec.stages.selfAlign.template or spec.podDefaults.template to",
        ),
        ("FailedMount", 'failed for volume "docker"', "spec.image.pushSecretRef"),
        ("FailedMount", 'failed for volume "base-model"', "spec.baseModel.uri"),
        ("FailedMount", 'failed for volume "mine"', "spec.stages.selfAlign.template or spec.podDefaults.template"),
    ],
)
def test_a_remedy_names_the_field_to_change(reason: str, message: str, field: str) -> None:
    assert field in remedy(reason, message)


def test_the_import_is_placed_by_the_defaults_alone() -> None:
    text = remedy("Unschedulable", step="import")
    assert "change resources of container stage in spec.podDefaults.template, or nodeSelector" in text
    assert "spec.stages" not in text


def test_a_missing_secret_is_named_by_the_field_of_its_owner() -> None:
    text = remedy("CreateContainerConfigError", 'secret "s3" not found')
    assert text == "; or name another Secret in spec.artifacts.secretRef"
    assert remedy("CreateContainerConfigError", 'secret "other" not found') == ""


def test_a_reason_without_a_remedy_in_the_run_stays_as_it_is() -> None:
    assert remedy("SchedulingGated") == ""
