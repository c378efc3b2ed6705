"""Lack of memory is final, says what was asked for, and an edit moves the run on."""

from typing import Any

import pytest
from tests.operator.builders import SimulatedRun, manifest, run, simulated_after
from tests.operator.test_job_status import FAILED, observed_job, read
from tests.operator.test_jobs import job_of
from tests.operator.test_retries import reason

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.jobs.out_of_memory import out_of_memory
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.plan import StopAttempt
from selfalign_operator.planning.retries import OUT_OF_MEMORY
from selfalign_stages.contract.task import Failure

LIMITED = {"limits": {"memory": "4Gi"}, "requests": {"memory": "2Gi"}}


def killed_pod(
    name: str = "stage", *, reason: str = OUT_OF_MEMORY, code: int = 137, message: str = "", init: bool = False,
    resources: dict[str, Any] | None = None, phase: str = "Failed",
) -> dict[str, Any]:  # fmt: skip
    times = {"startedAt": "2030-01-01T00:00:02Z", "finishedAt": "2030-01-01T00:01:02Z"}
    ended = {"name": name, "state": {"terminated": {"exitCode": code, "reason": reason, "message": message, **times}}}
    containers = [{"name": name, "resources": LIMITED if resources is None else resources}]
    kind = "initContainer" if init else "container"
    return {
        "metadata": {"name": "p", "creationTimestamp": "2030-01-01T00:00:00Z"},
        "spec": {"nodeName": "gpu-3", "containers": [], f"{kind}s": containers},
        "status": {"phase": phase, f"{kind}Statuses": [ended]},
    }


def job_at(step: str) -> dict[str, Any]:
    return job_of(step) | {"status": observed_job(condition=FAILED)["status"]}


def test_the_message_names_container_pod_node_limit_request_and_field() -> None:
    failure = out_of_memory(job_of("selfalign-answers"), [killed_pod()])
    assert failure is not None and failure.reason == OUT_OF_MEMORY
    assert failure.message.startswith("container stage of pod p on node gpu-3 was killed for lack of memory after 60 s")
    assert "limit was 4Gi (request 2Gi): raise spec.stages.selfAlign.resources.limits.memory" in failure.message


@pytest.mark.parametrize(
    ("step", "field"),
    [
        ("import", "resources.limits.memory of container stage in spec.podDefaults.template"),
        ("redteaming-topics", "spec.stages.redTeaming.resources.limits.memory"),
        ("engraving-train", "spec.stages.engraving.resources.limits.memory"),
        ("cloning-answers", "spec.stages.cloning.generation.resources.limits.memory"),
        ("cloning-merge", "spec.stages.cloning.training.resources.limits.memory"),
        ("evaluation-gate", "spec.stages.evaluation.resources.limits.memory"),
    ],
)
def test_the_field_is_that_of_the_steps_stage(step: str, field: str) -> None:
    failure = out_of_memory(job_of(step), [killed_pod()])
    assert failure is not None and f"raise {field}" in failure.message


def test_a_container_without_a_limit_is_asked_to_request_what_it_needs() -> None:
    failure = out_of_memory(job_of("selfalign-answers"), [killed_pod(resources={})])
    assert failure is not None and "no limit (no request)" in failure.message
    assert "set spec.stages.selfAlign.resources.requests.memory" in failure.message


@pytest.mark.parametrize("init", [True, False], ids=["init-container", "sidecar"])
def test_other_containers_are_named_with_the_templates_that_define_them(init: bool) -> None:
    attempt = read(job_at("selfalign-answers"), killed_pod("fetch", init=init))
    assert attempt.failure.reason == OUT_OF_MEMORY
    assert "resources.limits.memory of container fetch in spec.stages.selfAlign.template" in attempt.failure.message


def test_the_kernels_word_counts_more_than_what_the_process_wrote_before() -> None:
    pod = killed_pod(code=1, message='{"reason": "Crash", "message": "a worker process is gone"}')
    assert read(job_at("import"), pod).failure.reason == OUT_OF_MEMORY


@pytest.mark.parametrize("code", [42, 43, 44, 75, 77])
def test_a_code_that_decides_about_retries_stands(code: int) -> None:
    assert (
        read(job_at("import"), killed_pod(code=code, message='{"reason": "X", "message": "x"}')).failure.reason == "X"
    )


def test_a_kill_for_another_cause_is_none_for_lack_of_memory() -> None:
    assert out_of_memory(job_of("import"), [killed_pod(reason="Error")]) is None
    assert out_of_memory(job_of("import"), [killed_pod(phase="Succeeded")]) is None


def test_a_worker_that_was_killed_counts_while_the_job_would_start_it_again() -> None:
    job = job_of("selfalign-answers", stages={"selfAlign": {"workers": 3}})
    job["metadata"]["creationTimestamp"] = "2030-01-01T00:00:00Z"
    attempt = read(job, killed_pod())
    assert attempt.running and attempt.failure.reason == OUT_OF_MEMORY


def test_a_job_of_one_pod_ends_by_itself_and_keeps_its_pod() -> None:
    job = job_of("import")
    job["metadata"]["creationTimestamp"] = "2030-01-01T00:00:00Z"
    assert read(job, killed_pod()).failure is None


def test_a_gpus_lack_of_memory_names_what_the_pod_had() -> None:
    message = '{"reason": "DoesNotFit", "message": "out of memory: tried to allocate 2 GiB"}'
    pod = killed_pod(reason="Error", code=44, message=message, resources={"limits": {"nvidia.com/gpu": "1"}})
    failure = read(job_at("selfalign-answers"), pod).failure
    assert failure.reason == "DoesNotFit" and failure.message.startswith("out of memory: tried to allocate 2 GiB")
    assert "pod p on node gpu-3; limits: nvidia.com/gpu 1; spec.stages.selfAlign.resources.limits" in failure.message


SHORTAGE = Failure(reason=OUT_OF_MEMORY, message="raise it")


def edited(simulated: SimulatedRun, **spec: Any) -> SelfAlignRun:
    metadata = simulated.run.metadata.model_copy(update={"generation": simulated.run.metadata.generation + 1})
    return simulated.run.model_copy(
        update={"metadata": metadata, "spec": SelfAlignRun.model_validate(manifest(**spec)).spec}
    )


def test_it_is_final_at_the_first_attempt_and_an_edit_moves_the_run_on() -> None:
    simulated = simulated_after()
    simulated.end("import", 137)
    simulated.change("import", failure=SHORTAGE, generation=simulated.run.metadata.generation)
    planned = simulated.reconcile()
    assert planned.finished and reason(planned.status, "Stalled") == OUT_OF_MEMORY
    simulated.advance(3600)
    assert simulated.reconcile().actions == ()
    simulated.run = edited(simulated, podDefaults={"template": {"spec": {}}})
    simulated.reconcile()
    assert simulated.running() == ["import"] and simulated.attempts["import"][-1].number == 2


def test_the_preflight_that_lacked_memory_is_not_repeated_until_an_edit() -> None:
    simulated = SimulatedRun(run())
    simulated.reconcile()
    simulated.end(PREFLIGHT, 137)
    simulated.change(PREFLIGHT, failure=SHORTAGE, generation=simulated.run.metadata.generation)
    assert simulated.reconcile().requeue_at is None
    simulated.advance(3600)
    assert simulated.reconcile().actions == ()
    simulated.run = edited(simulated, podDefaults={"template": {"spec": {}}})
    simulated.reconcile()
    assert simulated.running() == [PREFLIGHT]


def test_workers_are_stopped_with_the_one_that_lacked_memory_and_an_edit_starts_them_anew() -> None:
    simulated = simulated_after()
    simulated.change("import", failure=SHORTAGE, workers=3, generation=simulated.run.metadata.generation)
    planned = simulated.reconcile()
    assert reason(planned.status, "Stalled") == OUT_OF_MEMORY
    assert [action.id for action in planned.actions if isinstance(action, StopAttempt)] == ["import"]
    simulated.run = edited(simulated, podDefaults={"template": {"spec": {}}})
    assert not simulated.reconcile().finished, "the Job that is being deleted does not count against the edit"
    simulated.attempts["import"].pop()
    simulated.reconcile()
    assert simulated.running() == ["import"]


def test_an_edit_before_the_operator_noticed_stops_the_workers_and_starts_them_anew() -> None:
    simulated = simulated_after()
    simulated.change("import", failure=SHORTAGE, workers=3, generation=simulated.run.metadata.generation)
    simulated.run = edited(simulated, podDefaults={"template": {"spec": {}}})
    planned = simulated.reconcile()
    assert not planned.finished
    assert [action.id for action in planned.actions if isinstance(action, StopAttempt)] == ["import"]
