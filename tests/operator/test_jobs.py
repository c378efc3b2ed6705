"""Jobs: what their pods run, request and may read."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.operator.builders import leaf_digests, run

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.jobs import identity
from selfalign_operator.jobs.job import StageImages, preflight_job, step_job
from selfalign_operator.jobs.overlay import overlay
from selfalign_operator.planning import graph
from selfalign_operator.planning.plan import StartPreflight, StartStep
from selfalign_stages.contract import credentials
from selfalign_stages.contract.graph import keys
from selfalign_stages.contract.task import PreflightTask, Task

NOW = datetime(2030, 1, 1, tzinfo=UTC)
IMAGES = StageImages({"cpu": "local.test/cpu:1", "generate": "local.test/generate:1", "train": "local.test/train:1"})
STORE = {"uri": "s3://runs/a", "endpoint": "http://s3:9000", "secretRef": {"name": "s3"}}


def on_cluster(**spec: Any) -> SelfAlignRun:
    one = run(artifacts=STORE, **spec)
    return one.model_copy(update={"metadata": one.metadata.model_copy(update={"uid": "u-1", "namespace": "team"})})


def job_of(id_: str, *, attempt: int = 1, pack: str | None = None, **spec: Any) -> dict[str, Any]:
    return job_for(on_cluster(**spec), id_, attempt=attempt, pack=pack)


def job_for(one: SelfAlignRun, id_: str, *, attempt: int = 1, pack: str | None = None) -> dict[str, Any]:
    step = next(step for step in graph.steps(one) if step.id == id_)
    key = keys(graph.steps(one), leaves=leaf_digests_of(one), seed=one.spec.seed)[id_]
    action = StartStep(step, key, attempt, {}, {name: "sha256:x" for name in step.leaves})
    return step_job(one, action, images=IMAGES, pack=pack)


def leaf_digests_of(one: SelfAlignRun) -> dict[str, str]:
    config_map = one.spec.principles.config_map_ref
    return leaf_digests(one) if config_map is None else {name: "d" for name in graph.leaves(one, pack_uri="file:///p")}


def pod_of(job: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = job["spec"]["template"]["spec"]
    return spec


def stage_of(job: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = pod_of(job)["containers"][0]
    return container


def test_a_job_depends_neither_on_the_status_nor_on_the_order_of_fields() -> None:
    one = on_cluster(stages={"selfAlign": {"workers": 2, "maxTokens": 64}}, seed=7)
    reordered = json.loads(one.model_dump_json(by_alias=True, exclude_none=True))
    reordered["spec"] = dict(reversed(reordered["spec"].items()))
    reordered["status"] = {"phase": "SelfAlign", "observedGeneration": 1}
    assert job_for(SelfAlignRun.model_validate(reordered), "selfalign-answers") == job_for(one, "selfalign-answers")


def test_names_differ_by_run_key_and_attempt_and_are_short_enough_for_a_host_name() -> None:
    names = {
        job_of("redteaming-instructions")["metadata"]["name"],
        job_of("redteaming-instructions", attempt=2)["metadata"]["name"],
        job_of("redteaming-instructions", seed=7)["metadata"]["name"],
    }
    assert len(names) == 3
    assert all(len(f"{name}-9999") <= 63 for name in names)


def test_a_pod_passes_pod_security_restricted() -> None:
    pod, stage = pod_of(job_of("import")), stage_of(job_of("import"))
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert stage["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_pod_gets_its_whole_task_in_its_environment() -> None:
    environment = {entry["name"]: entry.get("value") for entry in stage_of(job_of("selfalign-answers"))["env"]}
    task = Task.model_validate_json(environment["SELFALIGN_TASK"] or "")
    assert task.id == "selfalign-answers" and task.store.uri == "s3://runs/a" and task.key


def threads_of(job: dict[str, Any]) -> dict[str, Any] | None:
    """The variable OMP_NUM_THREADS; None if it is not set."""
    return next((entry for entry in stage_of(job)["env"] if entry["name"] == "OMP_NUM_THREADS"), None)


def templated(**container: Any) -> dict[str, Any]:
    """A pod template that adds something to the stage's container."""
    return {"template": {"spec": {"containers": [{"name": "stage", **container}]}}}


GPU = {"resources": {"limits": {"nvidia.com/gpu": 1}}}


@pytest.mark.parametrize("stage", [{}, {"resources": {"limits": {"cpu": "2500m"}}}, templated(image="x")])
def test_a_step_on_cpus_has_as_many_threads_as_its_limit_wherever_that_is_set(stage: dict[str, Any]) -> None:
    limit = {"containerName": "stage", "resource": "limits.cpu", "divisor": "1"}
    threads = threads_of(job_of("selfalign-answers", stages={"selfAlign": stage}))
    assert threads == {"name": "OMP_NUM_THREADS", "valueFrom": {"resourceFieldRef": limit}}


@pytest.mark.parametrize("stage", [GPU, templated(**GPU)], ids=["resources", "template"])
def test_beside_a_gpu_the_engine_chooses_its_threads(stage: dict[str, Any]) -> None:
    assert threads_of(job_of("selfalign-answers", stages={"selfAlign": stage})) is None
    assert threads_of(job_of("selfalign-answers", podDefaults=templated(**GPU))) is None
    assert threads_of(job_of("redteaming-prompts", stages={"redTeaming": stage})), "a step without devices"


def test_a_template_may_set_the_threads() -> None:
    own = {"name": "OMP_NUM_THREADS", "value": "2"}
    assert threads_of(job_of("selfalign-answers", podDefaults=templated(env=[own]))) == own


def test_a_stopped_pod_has_time_to_publish_and_a_template_may_give_it_another() -> None:
    shorter = {"template": {"spec": {"terminationGracePeriodSeconds": 10}}}
    assert pod_of(job_of("selfalign-answers"))["terminationGracePeriodSeconds"] == 120
    assert pod_of(job_of("selfalign-answers", podDefaults=shorter))["terminationGracePeriodSeconds"] == 10


def test_credentials_are_referenced_and_never_copied() -> None:
    sources = stage_of(job_of("import", baseModel={"uri": "s3://m/x", "secretRef": {"name": "models"}}))["envFrom"]
    assert sources == [{"secretRef": {"name": "s3"}}, {"prefix": "BASE_MODEL_", "secretRef": {"name": "models"}}]
    assert stage_of(job_of("selfalign-answers"))["envFrom"] == [{"secretRef": {"name": "s3"}}]


def mounted_secrets(job: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """Secret and readOnly by mount path."""
    secrets = {volume["name"]: volume["secret"] for volume in pod_of(job)["volumes"] if "secret" in volume}
    mounts = [mount for mount in stage_of(job)["volumeMounts"] if mount["name"] in secrets]
    return {mount["mountPath"]: (secrets[mount["name"]]["secretName"], mount["readOnly"]) for mount in mounts}


def test_credentials_are_mounted_too_so_that_a_running_pod_sees_renewed_ones() -> None:
    base = {"uri": "s3://m/x", "secretRef": {"name": "models"}}
    artifacts = {"/etc/selfalign/credentials/artifacts": ("s3", True)}
    assert mounted_secrets(job_of("selfalign-answers", baseModel=base)) == artifacts
    assert mounted_secrets(job_of("import", baseModel=base)) == artifacts | {
        "/etc/selfalign/credentials/base-model": ("models", True)
    }
    assert mounted_secrets(job_of("import")) == artifacts
    volumes = [one["secret"] for one in pod_of(job_of("import", baseModel=base))["volumes"] if "secret" in one]
    # any user of the pod may read them (defaultMode 0644), and a missing one is reported by the environment
    assert volumes == [{"secretName": name, "optional": True} for name in ("s3", "models")]


def test_a_mount_is_a_folder_that_stage_processes_look_into() -> None:
    mounts = {mount["mountPath"] for mount in stage_of(job_of("import"))["volumeMounts"]}
    assert str(credentials.FOLDER / credentials.ARTIFACTS) in mounts


@pytest.mark.parametrize("name", ["artifacts", "credentials", "base-model-data", "extra"])
def test_volumes_of_a_template_stand_beside_those_of_the_stage(name: str) -> None:
    extra = {
        "volumes": [{"name": name, "emptyDir": {}}],
        "containers": [{"name": "stage", "volumeMounts": [{"name": name, "mountPath": "/extra"}]}],
    }
    pods = [job_of("import", podDefaults={"template": {"spec": spec}} if spec else {}) for spec in (None, extra)]
    bare, extended = ({volume["name"] for volume in pod_of(job)["volumes"]} for job in pods)
    assert extended == bare | {name} and mounted_secrets(pods[0]) == mounted_secrets(pods[1])


def test_the_progress_of_a_pod_is_served_on_both_address_families() -> None:
    arguments = stage_of(job_of("import"))["args"]
    assert arguments[arguments.index("--host") + 1] == "::"


def test_only_steps_that_need_a_device_request_one() -> None:
    gpu = {"resources": {"limits": {"nvidia.com/gpu": 2, "memory": "8Gi"}}}
    stages = {"redTeaming": gpu, "engraving": gpu, "packaging": gpu}
    limits = {
        id_: stage_of(job_of(id_, stages=stages)).get("resources", {}).get("limits", {})
        for id_ in (
            "redteaming-instructions",
            "redteaming-prompts",
            "engraving-train",
            "engraving-merge",
            "packaging-image",
        )
    }
    assert {id_ for id_, limit in limits.items() if "nvidia.com/gpu" in limit} == {
        "redteaming-instructions",
        "engraving-train",
    }
    assert {limit["memory"] for limit in limits.values()} == {"8Gi"}


def test_a_template_for_all_pods_gives_no_device_to_cpu_steps() -> None:
    container = {"name": "stage", "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "4Gi"}}}
    defaults = {"template": {"spec": {"containers": [container]}}}
    assert stage_of(job_of("selfalign-answers", podDefaults=defaults))["resources"] == container["resources"]
    assert stage_of(job_of("import", podDefaults=defaults))["resources"] == {"limits": {"memory": "4Gi"}}
    preflight = preflight_job(on_cluster(podDefaults=defaults), StartPreflight("k", 1), images=IMAGES, pack=None)
    assert "nvidia.com/gpu" not in json.dumps(preflight["spec"]["template"]["spec"]["containers"])


def test_a_sharded_step_is_an_indexed_job_whose_workers_fail_alone() -> None:
    spec = job_of("selfalign-answers", stages={"selfAlign": {"workers": 4}}, retries={"perStage": 2})["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 4)
    assert spec["backoffLimitPerIndex"] == 2 and "backoffLimit" not in spec
    assert spec["successPolicy"] == {"rules": [{"succeededCount": 1}]}


def test_merging_prompts_is_one_pod_however_many_workers_generate() -> None:
    assert "completions" not in job_of("redteaming-prompts", stages={"redTeaming": {"workers": 4}})["spec"]


def test_the_failure_policy_is_the_exit_code_table() -> None:
    rules = job_of("import")["spec"]["podFailurePolicy"]["rules"]
    assert [(rule["action"], rule.get("onExitCodes", {}).get("values")) for rule in rules] == [
        ("FailJob", [42, 43, 44, 77]),
        ("Ignore", [75, 130, 143]),
        ("Ignore", None),
    ]


def test_templates_override_the_default_pod_but_not_its_identifying_labels() -> None:
    defaults = {"template": {"spec": {"nodeSelector": {"pool": "a"}, "tolerations": [{"key": "gpu"}]}}}
    stage = {
        "template": {
            "metadata": {"labels": {"team": "x", identity.STEP: "forged"}},
            "spec": {
                "nodeSelector": {"disk": "ssd"},
                "containers": [{"name": "stage", "env": [{"name": "A", "value": "1"}]}],
            },
        }
    }
    job = job_of("selfalign-answers", podDefaults=defaults, stages={"selfAlign": stage})
    assert pod_of(job)["nodeSelector"] == {"pool": "a", "disk": "ssd"}
    assert pod_of(job)["tolerations"] == [{"key": "gpu"}]
    assert {"name": "A", "value": "1"} in stage_of(job)["env"] and len(stage_of(job)["env"]) > 1
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["team"] == "x" and labels[identity.STEP] == "selfalign-answers"


@pytest.mark.parametrize(
    "spec",
    [None, "x", {"containers": None}, {"containers": "x"}, {"containers": ["x"]}]
    + [{"containers": [{"name": "stage", "resources": resources}]} for resources in (None, "x", {"limits": "x"})],
)
def test_a_malformed_template_is_left_to_the_api_server(spec: Any) -> None:
    malformed = {"template": {"spec": spec}}
    for id_ in ("import", "selfalign-answers"):
        assert job_of(id_, podDefaults=malformed)["kind"] == "Job"


def test_a_null_in_a_template_removes_a_field() -> None:
    assert overlay({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}) == {"a": {"c": 2}}


def test_moving_a_stage_changes_no_key() -> None:
    moved = {"selfAlign": {"workers": 3, "template": {"spec": {"nodeSelector": {"a": "b"}}}}}
    assert (
        job_of("selfalign-answers")["metadata"]["annotations"]
        == job_of("selfalign-answers", stages=moved)["metadata"]["annotations"]
    )


def test_a_queue_is_a_label_of_the_job() -> None:
    job = job_of("import", queueName="team-a")
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    assert job["metadata"]["ownerReferences"][0]["uid"] == "u-1"


def test_preflight_mounts_whatever_later_pods_mount() -> None:
    one = on_cluster(
        principles={"configMapRef": {"name": "mine"}},
        stages={"evaluation": {"suites": [{"name": "hhh", "format": "hhh", "uri": "pack://hhh"}]}},
        image={"repository": "reg.test/ida", "pushSecretRef": {"name": "push"}},
        baseModel={"uri": "pvc://claim/models/x"},
    )
    job = preflight_job(one, StartPreflight("k" * 64, 1), images=IMAGES, pack="trial-pack-1")
    task = json.loads(next(e["value"] for e in stage_of(job)["env"] if e["name"] == "SELFALIGN_TASK"))
    volumes = {volume["name"]: volume for volume in pod_of(job)["volumes"]}
    assert volumes["pack"]["configMap"] == {"name": "trial-pack-1"}
    assert volumes["docker"]["secret"]["secretName"] == "push"
    assert volumes["base-model"]["persistentVolumeClaim"]["claimName"] == "claim"
    parsed = PreflightTask.model_validate(task)
    assert parsed.leaves["baseModel"].uri == "file:///mnt/base-model/models/x"
    assert parsed.leaves["pack"].uri == "file:///etc/selfalign/configmap/mine"
