"""Whatever a kubelet reports, an attempt is read from it, with reasons and messages that a condition may have."""

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operator.test_job_status import COMPLETE, FAILED, NOW, observed_job, pod, read

from selfalign_operator.jobs.termination import REASON

TIMES = st.sampled_from(["2030-01-01T00:00:00Z", "2030-01-01T00:10:00Z"])
REASONS = st.sampled_from(["", "Error", "OOMKilled", "StartError", "ImagePullBackOff", "a/b", "PodInitializing"])
CODES = st.sampled_from([0, 1, 42, 75, 77, 128, 137, 143])
STATES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"running": st.fixed_dictionaries({}, optional={"startedAt": TIMES})}),
    st.fixed_dictionaries(
        {"waiting": st.fixed_dictionaries({}, optional={"reason": REASONS, "message": st.just("why")})}
    ),
    st.fixed_dictionaries(
        {
            "terminated": st.fixed_dictionaries(
                {"exitCode": CODES},
                optional={"reason": REASONS, "message": st.just("log"), "startedAt": TIMES, "finishedAt": TIMES},
            )
        }
    ),
)


def containers(*names: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    entry = st.fixed_dictionaries(
        {"name": st.sampled_from(names), "state": STATES}, optional={"lastState": STATES, "restartCount": st.just(2)}
    )
    return st.lists(entry, max_size=2, unique_by=lambda one: str(one["name"]))


CONDITIONS = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["Ready", "ContainersReady", "PodScheduled", "DisruptionTarget"]),
            "status": st.sampled_from(["True", "False", "Unknown"]),
        },
        optional={"reason": REASONS},
    ),
    max_size=3,
)
STATUSES = st.fixed_dictionaries(
    {},
    optional={
        "phase": st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
        "reason": st.sampled_from(["Evicted", "OutOfcpu", "OutOfnvidia.com/gpu", "New Reason"]),
        "message": st.just("The node was low on resource: memory."),
        "containerStatuses": containers("stage", "proxy"),
        "initContainerStatuses": containers("setup", "vault"),
        "conditions": CONDITIONS,
        "startTime": TIMES,
    },
)
METADATA = st.fixed_dictionaries(
    {}, optional={"deletionTimestamp": TIMES, "finalizers": st.lists(st.just("example.com/keep"), max_size=1)}
)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(STATUSES, METADATA), max_size=3),
    st.sampled_from([None, FAILED, COMPLETE]),
    st.sampled_from([0, 15, 3600]),
)
def test_any_state_of_pods_is_read_without_an_error(
    described: list[tuple[dict[str, Any], dict[str, Any]]], condition: dict[str, Any] | None, seconds: int
) -> None:
    pods = []
    for number, (status, metadata) in enumerate(described):
        one = pod(name=f"p{number}")
        pods.append(one | {"status": status, "metadata": one["metadata"] | metadata})
    attempt = read(observed_job(condition=condition), *pods, now=NOW + timedelta(seconds=seconds))
    for cause in (attempt.failure, attempt.pending, attempt.hang, attempt.disruption):
        assert cause is None or (REASON.fullmatch(cause.reason) and cause.message)
    assert not attempt.outlived or attempt.exit_code is not None
