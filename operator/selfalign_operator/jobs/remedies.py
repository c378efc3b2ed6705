"""Adds to the cause of waiting what to change in the run, by the field that changes this Job's pods. Pure.

A Job that waits is replaced when an edit changes its pods (planning.waiting), so that each remedy here takes effect
without anything else. Messages of scheduler, kubelet and admission are texts for people; only parts that have been the
same for years are recognised, and every other text gets the general remedy of its reason.
"""

from collections.abc import Mapping
from typing import Any

from selfalign_operator.jobs.placement_fields import POD_DEFAULTS, resource_fields, template_field
from selfalign_stages.contract import credentials
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.task import Failure

Object = Mapping[str, Any]
"""A Kubernetes object as the API server returns it in JSON."""

PULL_SECRETS = f"{POD_DEFAULTS}.spec.imagePullSecrets"
SERVICE_ACCOUNT = "spec.podDefaults.serviceAccountName"
IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff")
MOUNT_REASONS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
VOLUME_FIELDS = {"docker": "spec.image.pushSecretRef", "base-model": "spec.baseModel.uri"}
"""Field of the run that names the source of a volume, by the volume's name (jobs.pod)."""


def with_remedy(job: Object, failure: Failure) -> Failure:
    """Returns the failure with a remedy in its message.

    Args:
        job: the Job that waits.
        failure: why it waits, with the message of scheduler, kubelet or Job controller.

    Returns:
        The failure itself if its reason has no remedy in the run.
    """
    remedy = _remedy(job, failure.reason, failure.message)
    return failure.model_copy(update={"message": f"{failure.message}; {remedy}"}) if remedy else failure


def _remedy(job: Object, reason: str, message: str) -> str:
    templates = " or ".join(dict.fromkeys((template_field(job), POD_DEFAULTS)))
    if reason == "Unschedulable":
        return _of_scheduler(job, message, templates)
    if reason in IMAGE_REASONS:
        return (
            f"if the registry asks for credentials, name a pull Secret of this namespace in {PULL_SECRETS}; if the "
            f"image is wrong, correct images.registry or images.tag of the operator's chart, or {templates} where it "
            "sets the image"
        )
    if reason == "CreateContainerConfigError":
        field = _secret_field(job, message)
        return f"or name another Secret in {field}" if field else ""
    if reason in MOUNT_REASONS:
        return _of_volume(message, templates)
    if reason == "QuotaExceeded":
        return f"lower {resource_fields(job)}, or raise the quota"
    return _of_admission(job, message, templates) if reason == "PodsRefused" else ""


def _of_scheduler(job: Object, message: str, templates: str) -> str:
    if "persistentvolumeclaim" in message.lower():
        return f"create the claim, or name another one in spec.baseModel.uri or {templates}, whichever names it"
    placement = f"nodeSelector, affinity and tolerations in {templates}"
    return f"no node fits: change {resource_fields(job)}, or {placement}, or add a node"


def _of_volume(message: str, templates: str) -> str:
    field = next((field for name, field in VOLUME_FIELDS.items() if f'volume "{name}"' in message), None)
    return f"create what is missing, or name another one in {field or templates}"


def _of_admission(job: Object, message: str, templates: str) -> str:
    if "serviceaccount" in message:
        return f"create it, or name another one in {SERVICE_ACCOUNT}"
    if "must specify" in message or " usage per " in message:  # ResourceQuota and LimitRange
        return f"change {resource_fields(job)}"
    return f"change {templates} to what is allowed"


def _secret_field(job: Object, message: str) -> str | None:
    """The field of the run that names the Secret in a kubelet's message."""
    container = job["spec"]["template"]["spec"]["containers"][0]
    fields = {"": "spec.artifacts.secretRef", credentials.variable_prefix(BASE_MODEL): "spec.baseModel.secretRef"}
    for source in container.get("envFrom") or ():
        name = (source.get("secretRef") or {}).get("name")
        if name and f'secret "{name}" not found' in message:
            return fields.get(source.get("prefix", ""), "secretRef of the source that it belongs to")
    return None
