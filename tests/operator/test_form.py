"""Whether an edit gives a Job another form, and which pods count as having run."""

from typing import Any

import pytest
from tests.operator.test_jobs import IMAGES, job_for, job_of, on_cluster

from selfalign_operator.jobs.ever_ran import ever_ran
from selfalign_operator.jobs.form import form, with_form
from selfalign_operator.jobs.identity import FORM, OPERATOR
from selfalign_operator.jobs.job import StageImages, preflight_job
from selfalign_operator.planning.plan import StartPreflight

RUNNING: dict[str, Any] = {"running": {"startedAt": "2030-01-01T00:00:00Z"}}
ENDED: dict[str, Any] = {"terminated": {"exitCode": 75}}
BLOCKED: dict[str, Any] = {"waiting": {"reason": "ErrImagePull"}}


def preflight_of(images: StageImages = IMAGES, *, attempt: int = 1, **spec: Any) -> dict[str, Any]:
    return preflight_job(on_cluster(**spec), StartPreflight("k" * 64, attempt), images=images, pack=None)


@pytest.mark.parametrize(
    "edit",
    [
        {"podDefaults": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}},
        {"podDefaults": {"template": {"spec": {"imagePullSecrets": [{"name": "registry"}]}}}},
        {"podDefaults": {"template": {"metadata": {"annotations": {"a": "b"}}}}},
        {"podDefaults": {"serviceAccountName": "stages"}},
        {"queueName": "team"},
        {"image": {"repository": "reg.test/ida", "pushSecretRef": {"name": "registry"}}},
    ],
)
def test_an_edit_of_placement_gives_preflight_another_form(edit: dict[str, Any]) -> None:
    assert form(preflight_of(**edit)) != form(preflight_of())


@pytest.mark.parametrize(
    "edit",
    [
        {"stages": {"selfAlign": {"resources": {"limits": {"memory": "9Gi"}}}}},
        {"stages": {"selfAlign": {"workers": 3}}},
        {"stages": {"selfAlign": {"template": {"spec": {"tolerations": [{"operator": "Exists"}]}}}}},
        {"engine": {"gpuMemoryUtilization": 0.5}},
        {"queueName": "team"},
    ],
)
def test_an_edit_of_its_stage_gives_a_step_another_form_and_the_others_none(edit: dict[str, Any]) -> None:
    assert form(job_of("selfalign-answers", **edit)) != form(job_of("selfalign-answers"))
    if "stages" in edit:
        assert form(job_of("engraving-train", **edit)) == form(job_of("engraving-train"))


def test_another_image_gives_another_form() -> None:
    newer = StageImages({name: f"{image}-newer" for name, image in IMAGES.names.items()})
    assert form(preflight_of(newer)) != form(preflight_of())


def test_neither_attempt_nor_generation_nor_release_is_part_of_the_form() -> None:
    one = on_cluster()
    edited = one.model_copy(update={"metadata": one.metadata.model_copy(update={"generation": 9})})
    assert form(job_for(edited, "selfalign-answers", attempt=2)) == form(job_for(one, "selfalign-answers"))
    upgraded = job_of("selfalign-answers")
    for metadata in (upgraded["metadata"], upgraded["spec"]["template"]["metadata"]):
        metadata["labels"] = metadata["labels"] | {"app.kubernetes.io/version": "99"}
    assert form(upgraded) == form(job_of("selfalign-answers"))


def test_a_job_carries_its_form_and_its_operator() -> None:
    job = job_of("import")
    annotations = with_form(job, operator="system/selfalign")["metadata"]["annotations"]
    assert (annotations[FORM], annotations[OPERATOR]) == (form(job), "system/selfalign")


def pod(phase: str | None = "Pending", **containers: dict[str, Any]) -> dict[str, Any]:
    statuses = [{"name": name, "state": state} for name, state in containers.items()]
    return {"status": {"phase": phase, "containerStatuses": statuses}}


@pytest.mark.parametrize(
    ("status", "pods"),
    [
        ({}, []),
        ({"active": 1}, [{}]),
        ({"active": 1}, [pod()]),
        ({"active": 1}, [pod(stage=BLOCKED)]),
        ({"active": 1}, [pod(stage=BLOCKED, proxy=RUNNING)]),
        ({"active": 1}, [{"status": {"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": ENDED}]}}]),
        ({"failed": 1}, [pod("Failed")]),
    ],
    ids=["no-pod", "new", "unscheduled", "image", "image-beside-a-sidecar", "init-container", "rejected-by-kubelet"],
)
def test_a_job_that_waits_has_not_run(status: dict[str, Any], pods: list[dict[str, Any]]) -> None:
    assert not ever_ran({"status": status}, pods)


@pytest.mark.parametrize(
    ("status", "pods"),
    [
        ({"ready": 1}, []),
        ({"succeeded": 1}, []),
        ({"failed": 1}, []),
        ({"failed": 2}, [pod("Failed")]),
        ({"active": 1}, [pod("Running")]),
        ({"active": 1}, [pod(stage=RUNNING, proxy=BLOCKED)]),
        ({"active": 1}, [pod("Failed", stage=ENDED), pod()]),
        ({"active": 1}, [pod("Failed", stage=RUNNING), pod()]),
        ({"active": 1}, [pod(), pod("Running")]),
    ],
    ids=["ready", "succeeded", "gone", "one-gone", "running", "sidecar-blocked", "evicted", "lost-node", "one-worker"],
)
def test_a_job_whose_stage_has_started_once_has_run(status: dict[str, Any], pods: list[dict[str, Any]]) -> None:
    assert ever_ran({"status": status}, pods)
