"""Workers are deleted and killed, operators are killed: the artifacts are those of an undisturbed run.

The undisturbed run is the one on this machine without a cluster, with the same settings and one worker.
"""

from collections import Counter
from typing import Any

import pytest
from tests.cluster.namespace import Namespace
from tests.e2e.cluster.disturbed import ANSWERS, DEVICE, KILLS, RUN, Disturbed
from tests.e2e.conftest import Workdir, steps

from selfalign_operator.jobs.identity import STEP

pytestmark = pytest.mark.slow

COMPARED = ("redteaming-topics", "redteaming-prompts", ANSWERS, "engraving-train", "cloning-answers", "cloning-train")
CPU_STEPS = {
    *("preflight", "import", "redteaming-prompts", "selfalign-check"),
    *("evaluation-gate", "packaging-image", "packaging-push"),
}


def test_disturbed_workers_and_operators_leave_the_same_artifacts(
    disturbed: Disturbed, finished: tuple[Workdir, dict[str, Any]]
) -> None:
    assert disturbed.kills == KILLS
    expected, actual = steps(finished[1]), steps(disturbed.namespace.status(RUN))
    for name in COMPARED:
        assert actual[name]["digest"] == expected[name]["digest"], name


def test_no_job_is_created_twice_though_operators_are_killed(disturbed: Disturbed) -> None:
    created = Counter(job["metadata"]["labels"][STEP] for job in disturbed.namespace.jobs())
    assert created and set(created.values()) == {1}, created


def test_only_steps_that_use_gpus_request_them(disturbed: Disturbed) -> None:
    requested = _devices_by_step(disturbed.namespace)
    assert requested[ANSWERS] == {"1"} and requested["engraving-train"] == {"1"}
    assert all(requested[step] == {"0"} for step in CPU_STEPS)
    assert float(disturbed.namespace.status(RUN)["gpuHours"]) > 0


def _devices_by_step(namespace: Namespace) -> dict[str, set[str]]:
    requested: dict[str, set[str]] = {}
    for pod in namespace.get("pods")["items"]:
        limits = pod["spec"]["containers"][0]["resources"].get("limits", {})
        requested.setdefault(pod["metadata"]["labels"][STEP], set()).add(limits.get(DEVICE, "0"))
    return requested
