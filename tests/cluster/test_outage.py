"""An outage of the API server: a few lines in the log, no restart, and the run goes on where it was."""

import re

import pytest
from tests.cluster.control_plane import wait_for
from tests.cluster.namespace import Namespace
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.outages import api_server_stopped
from tests.cluster.pretend_node import Ending, pretend_node, publish

pytestmark = pytest.mark.slow


def until_topics(step: str, pod: dict[str, object]) -> Ending | None:
    return None if step == "topics" else publish(step, pod)


def failures(operator: OperatorProcess) -> float:
    found = re.search(r"selfalign_reconcile_failures_total (\S+)", operator.ask("/metrics"))
    return float(found[1]) if found else 0.0


def test_an_outage_is_a_few_lines_without_a_traceback_and_the_run_goes_on(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    names = [f"run-{number}" for number in range(8)]
    with pretend_node(namespace.cluster, until_topics):
        for name in names:
            namespace.apply(name)
        wait_for("all have started", lambda: all(namespace.status(name).get("startTime") for name in names))
    before, process = len(operator.log.read_text().splitlines()), operator.process
    with api_server_stopped(namespace.cluster):
        wait_for("it has lost its Lease", lambda: "pauses" in operator.log.read_text())
        assert operator.ask("/healthz")
    with pretend_node(namespace.cluster, publish):
        namespace.wait("Ready", "True", name=names[0])
        namespace.wait("Ready", "True", name=names[-1])
    lines = operator.log.read_text().splitlines()[before:]
    text = "\n".join(lines)
    assert text.count("the API server does not respond: ") == 2, text  # its beginning and its end
    assert "the API server does not respond: over after" in text
    assert "Traceback" not in text and len(lines) <= 12, text
    assert process is not None and process.poll() is None and operator.process is process
