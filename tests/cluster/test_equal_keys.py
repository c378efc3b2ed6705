"""Several runs with equal keys under one operator on a real API server."""

from collections import Counter
from typing import Any

import pytest
from tests.cluster.control_plane import wait_for
from tests.cluster.namespace import Namespace
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.pretend_node import Ending, pretend_node, publish

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.jobs.identity import KEY, RUN, STEP, STORE
from selfalign_operator.planning import graph
from selfalign_operator.planning.equal_keys import OWN_KINDS

pytestmark = pytest.mark.slow

RUNS = ("one", "two", "three", "four", "five")
PAUSED = "selfalign-answers"


class Pause:
    """Ends every step well at once, but for the import and the answers, which run until they are released.

    The import is paused because this preflight, unlike the real one, has no store in which it could find artifacts of a
    run that was faster.

    Attributes:
        released: steps that may end.
        started: runs that had a pod of the answers.
    """

    def __init__(self) -> None:
        self.released: set[str] = set()
        self.started: set[str] = set()

    def __call__(self, step: str, pod: dict[str, Any]) -> Ending | None:
        if step == PAUSED:
            self.started.add(pod["metadata"]["labels"][RUN])
        return None if step in ("import", PAUSED) and step not in self.released else publish(step, pod)


def test_five_equal_runs_make_each_artifact_once_and_another_takes_over_from_a_deleted_one(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    steps = graph.steps(SelfAlignRun.model_validate(namespace.manifest()))
    shared = {step.id for step in steps if step.kind not in OWN_KINDS}
    pause = Pause()
    jobs: dict[str, dict[str, Any]] = {}
    with pretend_node(namespace.cluster, pause):
        for name in RUNS:
            namespace.apply(name)
        wait_for("four runs wait for one", lambda: len(_waiting(namespace, "import")) == len(RUNS) - 1)
        pause.released.add("import")
        wait_for("the same at the answers", lambda: len(_waiting(namespace, PAUSED)) == len(RUNS) - 1)
        (first,) = pause.started
        others = [name for name in RUNS if name != first]
        assert _waiting(namespace, PAUSED) == dict.fromkeys(others, f"{namespace.name}/{first}")
        jobs |= {job["metadata"]["uid"]: job for job in namespace.jobs()}
        namespace.cluster.kubectl("-n", namespace.name, "delete", "sar", first, "--wait=false")
        wait_for("another takes over", lambda: len(pause.started) == 2)
        operator.kill()
        operator.start()
        pause.released.add(PAUSED)
        for name in others:
            namespace.wait("Ready", "True", name=name, seconds=240)
        jobs |= {job["metadata"]["uid"]: job for job in namespace.jobs()}
    made = Counter(job["metadata"]["labels"][STEP] for job in jobs.values())
    assert {step: times for step, times in made.items() if step in shared} == dict.fromkeys(shared, 1) | {PAUSED: 2}
    assert made["evaluation-gate"] == made["packaging-push"] == len(others) and made["preflight"] == len(RUNS)
    by_label = Counter((job["metadata"]["labels"][KEY], job["metadata"]["labels"][STORE]) for job in jobs.values())
    assert len({store for _, store in by_label}) == 1


def _waiting(namespace: Namespace, step: str) -> dict[str, str]:
    """The run that each run waits for at a step, of those that wait."""
    found: dict[str, str] = {}
    for run in namespace.get("sar")["items"]:
        steps = [one for stage in run.get("status", {}).get("stages", ()) for one in stage["steps"]]
        other = next((one.get("waitsForRun") for one in steps if one["name"] == step), None)
        if other is not None:
            found[run["metadata"]["name"]] = other
    return found
