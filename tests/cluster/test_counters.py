"""Metrics count what the status has, each step once, whatever write fails; a defect is a condition of its run alone."""

from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import generate_latest
from tests.cluster.in_process import InProcessOperator, client_of
from tests.cluster.namespace import Namespace
from tests.cluster.pretend_node import Ending, pretend_node, publish

from selfalign_operator.cluster import reconcile
from selfalign_operator.cluster.client import ApiError
from selfalign_operator.cluster.health import Health
from selfalign_operator.planning.internal_error import REASON

pytestmark = pytest.mark.slow


class WritesThatFail:
    """Refuses the writes whose number is listed, and permits all others."""

    def __init__(self, *numbers: int) -> None:
        self.number, self.refused = 0, numbers

    def __call__(self) -> bool:
        self.number += 1
        return self.number not in self.refused


def ended_steps(health: Health) -> dict[tuple[str, str], float]:
    samples = (sample for metric in health.registry.collect() for sample in metric.samples)
    return {
        (one.labels["step"], one.labels["state"]): one.value for one in samples if one.name == "selfalign_steps_total"
    }


def states(namespace: Namespace) -> dict[tuple[str, str], float]:
    steps = [step for stage in namespace.status()["stages"] for step in stage["steps"]]
    return {(step["name"], step["state"]): 1 for step in steps if step["state"] in ("Succeeded", "Failed")}


def fails_at_topics(step: str, pod: dict[str, Any]) -> Ending | None:
    return (42, '{"reason": "BadInput", "message": "no"}') if step == "redteaming-topics" else publish(step, pod)


def test_steps_are_counted_once_although_every_third_write_fails(namespace: Namespace) -> None:
    client = client_of(namespace).fenced(WritesThatFail(*range(3, 300, 3)))
    operator = InProcessOperator(namespace, client)

    def failed() -> bool:
        return namespace.condition("Stalled").get("status") == "True"

    with pretend_node(namespace.cluster, fails_at_topics):
        namespace.apply()
        for _ in range(300):
            try:
                operator.reconcile()
            except ApiError:
                continue
            if failed():
                break
    assert failed() and ended_steps(operator.health) == states(namespace)
    assert ("redteaming-topics", "Failed") in states(namespace)
    restarted = InProcessOperator(namespace, client_of(namespace))
    restarted.reconcile()
    assert ended_steps(restarted.health) == {}, "a restart counts nothing that was counted before it"
    assert 'selfalign_runs{phase="Failed"} 1.0' in generate_latest(restarted.health.registry).decode()


def test_a_defect_is_a_condition_of_its_run_and_is_gone_with_the_defect(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plan(*_: Any, **__: Any) -> Any:
        raise OverflowError("date value out of range")

    operator = InProcessOperator(namespace, client_of(namespace))
    namespace.apply()
    with monkeypatch.context() as broken:
        broken.setattr(reconcile, "plan", plan)
        for _ in range(2):
            with pytest.raises(OverflowError):
                operator.reconcile()
            reconciling = namespace.condition("Reconciling")
            assert (reconciling["status"], reconciling["reason"]) == ("True", REASON)
            assert "OverflowError: date value out of range" in reconciling["message"]
            assert namespace.condition("Stalled")["status"] == "False"
            version = namespace.get("sar", "trial")["metadata"]["resourceVersion"]
    assert namespace.get("sar", "trial")["metadata"]["resourceVersion"] == version
    assert operator.reconcile() is not None
    assert namespace.condition("Reconciling")["reason"] == "Preflight"


def test_jobs_that_are_deleted_as_soon_as_they_end_are_started_as_often_as_the_limit_allows(
    namespace: Namespace,
) -> None:
    operator = InProcessOperator(namespace, client_of(namespace))
    namespace.apply(retries={"perStage": 1})
    names = set()
    for _ in range(20):
        operator.reconcile()
        operator.ahead += timedelta(seconds=10)
        names |= {job["metadata"]["name"] for job in namespace.jobs()}
        # as with ttlSecondsAfterFinished: 0 from an admission policy
        namespace.cluster.kubectl("-n", namespace.name, "delete", "jobs", "--all", "--cascade=foreground")
        if namespace.condition("Stalled").get("status") == "True":
            break
    assert len(names) == 2 and namespace.condition("Stalled")["reason"] == "JobGone"
    assert operator.health.registry.get_sample_value("selfalign_jobs_created_total", {"step": "preflight"}) == 2
    for suspend in (True, False):
        namespace.apply(retries={"perStage": 1}, suspend=suspend)
        operator.reconcile()
    assert len(namespace.jobs()) == 1 and namespace.condition("Stalled")["status"] == "False"
