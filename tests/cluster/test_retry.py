"""`selfalign retry` and its annotation on a real API server, with the command that the run's message names."""

import os
import re
import shlex
import subprocess
import sys
from typing import Any

import pytest
from tests.cluster.binaries import binaries
from tests.cluster.control_plane import Cluster
from tests.cluster.in_process import InProcessOperator, client_of
from tests.cluster.namespace import Namespace
from tests.cluster.pretend_node import Ending, pretend_node, publish

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.jobs.identity import STEP
from selfalign_operator.planning import graph, retry

pytestmark = pytest.mark.slow

BROKEN = "redteaming-topics"


@pytest.fixture
def operator(namespace: Namespace) -> InProcessOperator:
    return InProcessOperator(namespace, client_of(namespace))


class Breaks:
    """Ends every step well but one, which crashes until it is mended."""

    def __init__(self) -> None:
        self.mended = False

    def __call__(self, step: str, pod: dict[str, Any]) -> Ending | None:
        return (1, "no space left on device") if step == BROKEN and not self.mended else publish(step, pod)


def selfalign(cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with the kubectl of the control plane, as a user of that cluster runs it."""
    environment = os.environ | {
        "KUBECONFIG": str(cluster.kubeconfig),
        "PATH": f"{binaries()}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    program = [sys.executable, "-m", "selfalign_operator", *arguments]
    return subprocess.run(program, capture_output=True, text=True, env=environment, check=False)


def is_stalled(namespace: Namespace) -> bool:
    return bool(namespace.condition("Stalled").get("status") == "True")


def is_ready(namespace: Namespace) -> bool:
    return bool(namespace.condition("Ready").get("status") == "True")


def steps_started(namespace: Namespace) -> list[str]:
    return sorted(job["metadata"]["labels"][STEP] for job in namespace.jobs())


def test_a_run_without_further_attempts_goes_on_by_the_command_in_its_message(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    node = Breaks()
    with pretend_node(namespace.cluster, node):
        namespace.apply(retries={"perStage": 0})
        operator.reconcile_until(lambda: is_stalled(namespace))
        message = namespace.condition("Stalled")["message"]
        command = re.search(r"selfalign (retry trial --namespace \S+)", message)
        assert message.startswith(f"{BROKEN}: ") and command is not None, message
        node.mended = True
        done = selfalign(namespace.cluster, *shlex.split(command[1]))
        assert done.returncode == 0 and BROKEN in done.stdout, done.stderr
        operator.reconcile_until(lambda: is_ready(namespace))
    assert steps_started(namespace).count("import") == steps_started(namespace).count("preflight") == 1


def test_a_finished_step_is_made_anew_once(namespace: Namespace, operator: InProcessOperator) -> None:
    steps = graph.steps(SelfAlignRun.model_validate(namespace.manifest()))
    with pretend_node(namespace.cluster, publish):
        namespace.apply()
        operator.reconcile_until(lambda: is_ready(namespace))
        before = steps_started(namespace)
        for name, words in (("train", "selfalign-answers"), (None, "--from")):
            option = ["--from", name] if name else []
            refused = selfalign(namespace.cluster, "retry", "trial", "-n", namespace.name, *option)
            assert refused.returncode == 1 and words in refused.stderr
        missing = selfalign(namespace.cluster, "retry", "nobody", "-n", namespace.name)
        assert missing.returncode == 1 and '"nobody" not found' in missing.stderr
        done = selfalign(namespace.cluster, "retry", "trial", "-n", namespace.name, "--from", "cloning-train")
        assert done.returncode == 0, done.stderr
        operator.reconcile()
        operator.reconcile_until(lambda: is_ready(namespace))
        again = sorted(retry.with_readers(steps, "cloning-train"))
        assert steps_started(namespace) == sorted(before + again)
        version = namespace.get("sar", "trial")["metadata"]["resourceVersion"]
        operator.reconcile()
        assert namespace.get("sar", "trial")["metadata"]["resourceVersion"] == version
    assert steps_started(namespace) == sorted(before + again)


def test_a_wrong_annotation_is_refused_in_status_and_event_and_starts_nothing(
    namespace: Namespace, operator: InProcessOperator
) -> None:
    with pretend_node(namespace.cluster, publish):
        namespace.apply()
        operator.reconcile_until(lambda: is_ready(namespace))
        before = steps_started(namespace)
        annotate = ("-n", namespace.name, "annotate", "--overwrite", "sar", "trial")
        namespace.cluster.kubectl(*annotate, f"{retry.RETRY}=train@1")
        operator.reconcile()
    assert "selfalign-answers" in namespace.status()["retry"]["refused"] and is_ready(namespace)
    assert "RetryRefused" in {event["reason"] for event in namespace.get("events")["items"]}
    assert steps_started(namespace) == before
