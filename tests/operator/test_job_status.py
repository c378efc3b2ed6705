"""How the end of a Job, and the reason why it does not run, are read from it and its pods."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.operator.builders import result
from tests.operator.test_jobs import job_of

from selfalign_operator.jobs import job_status
from selfalign_stages.contract.counts import Counts
from selfalign_stages.contract.task import Failure, Progress
from selfalign_stages.contract.termination_message import LIMIT_BYTES, encode

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def observed_job(*, condition: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    job = job_of("import")
    job["metadata"]["creationTimestamp"] = "2030-01-01T00:00:00Z"
    conditions = {"conditions": [condition | {"lastTransitionTime": "2030-01-01T00:00:09Z"}]} if condition else {}
    return job | {"status": {"startTime": "2030-01-01T00:00:00Z"} | conditions | status}


def pod(
    *, code: int | None = None, message: str = "", name: str = "p", reason: str = "", **status: Any
) -> dict[str, Any]:
    terminated = {"exitCode": code, "message": message, "reason": reason, "finishedAt": "2030-01-01T00:00:08Z"}
    state = {"terminated": terminated} if code is not None else {"running": {}}
    return {
        "metadata": {"name": name, "creationTimestamp": "2030-01-01T00:00:00Z"},
        "spec": {"containers": [{"name": "stage", "resources": {"limits": {"nvidia.com/gpu": "2"}}}]},
        "status": {"startTime": "2030-01-01T00:00:02Z", "containerStatuses": [{"name": "stage", "state": state}]}
        | status,
    }


def read(job: dict[str, Any], *pods: dict[str, Any], now: datetime = NOW) -> Any:
    return job_status.attempt(job, pods, progress={}, now=now)


def waiting(reason: str) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "stage", "state": {"waiting": {"reason": reason}}}]}


FAILED = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}
COMPLETE = {"type": "Complete", "status": "True"}


def test_a_complete_job_has_its_pods_result() -> None:
    message = result("import", "k").model_dump_json(by_alias=True)
    attempt = read(observed_job(condition=COMPLETE), pod(code=0, message=message))
    assert attempt.exit_code == 0 and attempt.result.digest == "sha256:import"


def test_a_complete_job_without_pods_has_no_result_so_that_another_attempt_finds_the_artifact() -> None:
    assert read(observed_job(condition=COMPLETE)).result is None


@pytest.mark.parametrize("code", [1, 42, 43, 44, 76, 77, 137])
def test_a_failed_job_has_its_pods_exit_code_and_message(code: int) -> None:
    attempt = read(observed_job(condition=FAILED), pod(code=code, message='{"reason": "X", "message": "why"}'))
    assert attempt.exit_code == code and attempt.failure.message == "why"


def test_a_final_code_counts_more_than_the_crash_of_another_worker() -> None:
    pods = pod(code=1, name="a"), pod(code=42, name="b"), pod(code=137, name="c")
    assert read(observed_job(condition=FAILED), *pods).exit_code == 42


def test_a_lost_input_counts_more_than_what_else_happened_to_the_workers_and_less_than_a_final_code() -> None:
    lost = pod(code=77, name="b", message=json.dumps({"reason": "InputLost", "message": "gone", "lost": "k" * 64}))
    others = pod(code=1, name="a"), pod(code=137, name="c"), pod(code=75, name="d")
    attempt = read(observed_job(condition=FAILED), *others, lost)
    assert (attempt.exit_code, attempt.failure.lost) == (77, "k" * 64)
    assert read(observed_job(condition=FAILED), *others, lost, pod(code=42, name="e")).exit_code == 42


def test_the_key_of_a_lost_input_survives_whatever_else_has_to_be_shortened() -> None:
    reasons = {f"reason-{number}-{'x' * 50}": number for number in range(500)}
    for message, rejected in (("é" * 20_000, {}), ("short", reasons), ("é" * 20_000, reasons)):
        counts = Counts(rows=sum(rejected.values()), rejected=rejected)
        failure = Failure(reason="InputLost", message=message, counts=counts, lost="k" * 64)
        data = encode(failure)
        assert len(data) <= LIMIT_BYTES
        read_back = read(observed_job(condition=FAILED), pod(code=77, message=data.decode())).failure
        assert (read_back.reason, read_back.lost) == ("InputLost", "k" * 64)
        assert sum(read_back.counts.rejected.values()) == counts.rows


def test_a_lost_input_without_a_message_is_named_by_its_exit_code() -> None:
    assert read(observed_job(condition=FAILED), pod(code=77)).failure.reason == "InputLost"


def stopped_worker(**metadata: Any) -> dict[str, Any]:
    worker = pod(code=75, name="other")
    return worker | {"metadata": worker["metadata"] | metadata}


@pytest.mark.parametrize("condition", ["FailureTarget", "Failed", "SuccessCriteriaMet", "Complete"])
def test_workers_that_are_stopped_because_another_one_decided_about_the_job_are_not_preempted(condition: str) -> None:
    job = observed_job(condition={"type": condition, "status": "True"})
    deleted = stopped_worker(deletionTimestamp="2030-01-01T00:00:08Z")
    assert [one.outcome for one in read(job, pod(code=77), deleted).pods] == ["crashed", "stopped"]
    assert [one.outcome for one in read(observed_job(), deleted).pods] == ["preempted"], "deleted by somebody else"
    assert [one.outcome for one in read(job, stopped_worker()).pods] == ["preempted"], "before the Job ended"


def test_pods_belong_to_the_job_that_controls_them_whatever_their_labels_say() -> None:
    job = observed_job(condition=COMPLETE)
    job["metadata"]["uid"] = "job-1"
    labels = {"batch.kubernetes.io/job-name": job["metadata"]["name"], "job-name": job["metadata"]["name"]}
    message = result("import", "k").model_dump_json(by_alias=True)

    def labelled(name: str, *owners: dict[str, Any]) -> dict[str, Any]:
        made = pod(code=0, name=name, message=message)
        made["metadata"] |= {"labels": labels} | ({"ownerReferences": list(owners)} if owners else {})
        return made

    job_controls = {"kind": "Job", "uid": "job-1", "controller": True}
    pods = [
        labelled("own", {"kind": "X", "uid": "x"}, job_controls),
        labelled("forged"),
        labelled("of-another", job_controls | {"uid": "job-2"}),
        labelled("not-controlled", job_controls | {"controller": False}),
    ]
    assert [one["metadata"]["name"] for one in job_status.pods_of(job, pods)] == ["own"]
    (attempt,) = job_status.attempts([job], pods[1:], progress={}, now=NOW)["import"]
    assert attempt.result is None and attempt.pods == ()


def test_out_of_memory_is_reported_with_its_remedy() -> None:
    attempt = read(observed_job(condition=FAILED), pod(code=137, reason="OOMKilled"))
    assert attempt.failure.reason == "OOMKilled" and "resources.limits.memory" in attempt.failure.message


def test_pods_have_an_outcome_an_interval_and_a_number_of_devices() -> None:
    disrupted: dict[str, Any] = {"conditions": [{"type": "DisruptionTarget", "status": "True"}], "phase": "Failed"}
    pods = pod(code=75), pod(code=143, **disrupted), pod(code=1), pod(code=0), pod(), pod(phase="Pending")
    attempt = read(observed_job(), *pods)
    outcomes = [one.outcome for one in attempt.pods]
    assert outcomes == ["preempted", "preempted", "crashed", "succeeded", "active", "active"]
    start, end = NOW + timedelta(seconds=2), NOW + timedelta(seconds=8)
    assert {(one.started, one.finished, one.devices) for one in attempt.pods} == {(start, end, 2), (start, None, 2)}


def test_workers_that_spent_their_retries_leave_none_to_the_job() -> None:
    failed_indexes = FAILED | {"reason": "FailedIndexes"}
    assert read(observed_job(condition=failed_indexes), pod(code=1)).exhausted
    assert not read(observed_job(condition=FAILED), pod(code=1)).exhausted


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}, "Unschedulable"),
        (waiting("ImagePullBackOff"), "ImagePullBackOff"),
        (waiting("CreateContainerConfigError"), "CreateContainerConfigError"),
    ],
)
def test_a_pod_that_cannot_start_is_explained_after_the_grace_period(status: dict[str, Any], reason: str) -> None:
    stuck = pod(phase="Pending", **status)
    assert read(observed_job(), stuck, now=NOW + timedelta(seconds=9)).pending is None
    assert read(observed_job(), stuck, now=NOW + timedelta(seconds=10)).pending.reason == reason


def test_a_job_without_pods_is_reported_after_the_grace_period() -> None:
    assert read(observed_job(), now=NOW + timedelta(seconds=30)).pending.reason == "NoPods"


def test_a_job_that_waits_for_quota_names_its_queue() -> None:
    job = observed_job()
    job["spec"]["suspend"] = True
    job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "team-a"
    pending = read(job).pending
    assert pending.reason == "QuotaPending" and "team-a" in pending.message


def test_a_job_that_a_person_suspended_names_the_field_to_change() -> None:
    job = observed_job()
    job["spec"]["suspend"] = True
    pending = read(job).pending
    assert pending.reason == "JobSuspended" and "spec.suspend" in pending.message


def test_progress_of_workers_is_the_highest_count_with_the_sum_of_their_rates() -> None:
    workers = {name: Progress(done=done, total=100, unit="rows", rate=5) for name, done in (("a", 40), ("b", 50))}
    pods = [pod(name="a"), pod(name="b"), pod(name="silent")]
    combined = job_status.attempt(observed_job(), pods, progress=workers, now=NOW).progress
    assert combined is not None and (combined.done, combined.rate, combined.eta) == (50, 10, 5)


def test_of_several_results_the_one_that_made_the_artifact_counts() -> None:
    messages = [result("import", "k", cache=cache).model_dump_json(by_alias=True) for cache in ("Hit", "Miss")]
    pods = [pod(code=0, message=message, name=str(n)) for n, message in enumerate([*messages, "no result"])]
    assert read(observed_job(condition=COMPLETE), *pods).result.cache == "Miss"
