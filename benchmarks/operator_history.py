"""Memory, requests and log lines of the operator beside a history of finished runs, on a real API server.

    PYTHONPATH=.:stages:operator python benchmarks/operator_history.py [--operator FOLDER] [--history 0,0 100,0]

Two runs are carried out by the operator with a pretend node: one to its end, one to a step that stays running. Then the
controllers are stopped and both are copied with all their Jobs and pods, as they stand in the API server. For each size
of the history a new operator process is started; it is measured once every run has been reconciled and nothing more
happens. At last the API server is stopped for a while and started again. `--operator` measures another working tree.
"""

import argparse
import copy
import json
import os
import re
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from kubernetes import client, config
from tests.cluster.control_plane import Cluster, control_plane, wait_for
from tests.cluster.namespace import Namespace
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.outages import api_server_stopped
from tests.cluster.pretend_node import Ending, pretend_node, publish

from selfalign_operator.jobs.identity import RUN, RUN_UID

ROOT = Path(__file__).parents[1]
HISTORY = ("0,0", "100,0", "300,100")
"""Finished runs, and runs with a running step beside them."""
OUTAGE_SECONDS = 30
QUIET_SECONDS = 8
"""An operator that has sent nothing but renewals and polls for so long has settled."""
Object = dict[str, Any]


class Api:
    """Requests to the API server, and how many it has served."""

    def __init__(self, cluster: Cluster) -> None:
        self._client = config.new_client_from_config(str(cluster.kubeconfig))

    def send(self, method: str, path: str, body: Object | None = None) -> Any:
        """Sends a request and returns the decoded response."""
        response = self._client.call_api(
            path, method, body=body, auth_settings=["BearerToken"], _preload_content=False, _return_http_data_only=True
        )
        return json.loads(response.data)

    def served(self) -> Counter[str]:
        """Requests so far by verb and resource."""
        text = client.ApiClient.call_api(
            self._client, "/metrics", "GET", auth_settings=["BearerToken"], _preload_content=False,
            _return_http_data_only=True,
        ).data.decode()  # fmt: skip
        counts: Counter[str] = Counter()
        for labels, value in re.findall(r"^apiserver_request_total\{(.*)\} (\S+)$", text, re.MULTILINE):
            of = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            counts[f"{of['verb']} {of['resource']}" + (" dry run" if of.get("dry_run") else "")] += int(float(value))
        return counts


def running(step: str, pod: Object) -> Ending | None:
    """Every step ends well but `topics`, which stays running."""
    return None if step == "topics" else publish(step, pod)


def originals(namespace: Namespace) -> dict[str, list[Object]]:
    """A finished run and a running one, each with its Jobs and pods."""
    operator = OperatorProcess(namespace.cluster, namespace.name)
    operator.start()
    found = {}
    for name, script, phase in (("finished", publish, "Ready"), ("running", running, "RedTeaming")):
        with pretend_node(namespace.cluster, script):
            namespace.apply(name)
            wait_for(name, lambda n=name, p=phase: namespace.status(n).get("phase") == p)  # type: ignore[misc]
            if name == "running":
                wait_for("topics", lambda: "topics" in json.dumps(namespace.status("running").get("stages", "")))
        children = namespace.get("jobs,pods", "-l", f"{RUN}={name}")["items"]
        found[name] = [namespace.get("sar", name), *children]
    operator.stop()
    return found


def copies(original: list[Object], name: str, *, namespace: str, api: Api) -> None:
    """Creates a run with its Jobs and pods, each in the state that the original has."""
    run, *children = copy.deepcopy(original)
    runs = f"/apis/selfalign.dev/v1alpha1/namespaces/{namespace}/selfalignruns"
    run["metadata"] = {"name": name, "namespace": namespace}
    uid = _create(api, runs, run)
    names = {child["metadata"]["uid"]: f"{name}-{number}" for number, child in enumerate(children)}
    uids = {run["metadata"].get("uid"): uid}
    for child in sorted(children, key=lambda child: child["kind"]):  # Jobs before their pods
        metadata, owner = child["metadata"], child["metadata"]["ownerReferences"][0]
        own_uid, labels = metadata["uid"], metadata["labels"] | {RUN: name, RUN_UID: uid}
        labels = {key: value for key, value in labels.items() if not key.endswith(("controller-uid", "job-name"))}
        owner |= {"name": name, "uid": uid} if child["kind"] == "Job" else {"uid": uids[owner["uid"]]}
        annotations = metadata.get("annotations", {})
        child["metadata"] = {
            "name": names[own_uid], "namespace": namespace, "labels": labels, "annotations": annotations,
            "ownerReferences": [owner],
        }  # fmt: skip
        if child["kind"] == "Job":
            child["spec"].pop("selector", None)
            child["spec"]["template"]["metadata"]["labels"] = labels
            uids[own_uid] = _create(api, f"/apis/batch/v1/namespaces/{namespace}/jobs", child)
        else:
            child["spec"].pop("nodeName", None)
            _create(api, f"/api/v1/namespaces/{namespace}/pods", child)


def _create(api: Api, path: str, body: Object) -> str:
    """Creates an object with its status; its uid."""
    status = body.pop("status", {})
    stored = api.send("POST", path, body)
    api.send("PUT", f"{path}/{stored['metadata']['name']}/status", stored | {"status": status})
    return str(stored["metadata"]["uid"])


def memory(operator: OperatorProcess) -> tuple[int, int]:
    """Resident MiB now, and at most so far."""
    assert operator.process is not None
    text = Path(f"/proc/{operator.process.pid}/status").read_text()
    now, most = (int(re.search(rf"{name}:\s+(\d+)", text)[1]) // 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[index]
    return now, most


def listens(operator: OperatorProcess) -> bool:
    """Whether it serves its metrics."""
    try:
        return bool(operator.ask("/metrics"))
    except OSError:
        return False


def reconciles(operator: OperatorProcess) -> int:
    """How many reconciles it has finished; 0 while it serves nothing yet."""
    try:
        found = re.search(r"selfalign_reconcile_seconds_count (\S+)", operator.ask("/metrics"))
    except OSError:
        return 0
    return int(float(found[1])) if found else 0


def settled(operator: OperatorProcess, runs: int) -> float:
    """Waits until every run was reconciled and nothing more happens; seconds until the last of them."""
    started, last, since = time.monotonic(), -1, time.monotonic()
    while last < runs or time.monotonic() - since < QUIET_SECONDS:
        count = reconciles(operator)
        if last < runs and count != last:
            last, since = count, time.monotonic()
        time.sleep(0.2)
        assert time.monotonic() - started < 600, f"{count} of {runs} reconciles"
    return since - started


def outage(cluster: Cluster, operator: OperatorProcess) -> Iterator[str]:
    """Stops the API server for OUTAGE_SECONDS; yields lines about the operator's log."""
    before = len(operator.log.read_text().splitlines())
    with api_server_stopped(cluster):
        time.sleep(OUTAGE_SECONDS)
    began = time.monotonic()
    Namespace(cluster, operator.namespace).apply("after-the-outage")
    wait_for("a new run starts", lambda: "Preflight" in cluster.kubectl("-n", operator.namespace, "get", "sar"))
    lines = operator.log.read_text().splitlines()[before:]
    tracebacks = sum(line.startswith("Traceback") for line in lines)
    alive = operator.process is not None and operator.process.poll() is None
    yield f"outage of {OUTAGE_SECONDS} s: {len(lines)} log lines, {tracebacks} tracebacks"
    yield f"same process: {alive}; a new run has status after {time.monotonic() - began:.1f} s"
    yield from lines[:12]


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operator", type=Path, default=ROOT)
    parser.add_argument("--history", nargs="*", default=HISTORY, help="FINISHED,RUNNING runs, growing")
    options = parser.parse_args()
    source, sizes = options.operator, [tuple(map(int, size.split(","))) for size in options.history]
    environment = {"PYTHONPATH": os.pathsep.join(str(source / part) for part in ("operator", "stages"))}
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder) / "cluster") as cluster:
        cluster.kubectl("apply", "--server-side", "-f", str(ROOT / "charts/selfalign-operator/files/crd.yaml"))
        wait_for("runs are served", lambda: "No resources" in cluster.kubectl("get", "selfalignruns", check=False))
        cluster.kubectl("create", "namespace", "originals")
        found = originals(Namespace(cluster, "originals"))
        cluster.kubectl("create", "namespace", "team")
        wait_for("its account", lambda: "default" in cluster.kubectl("-n", "team", "get", "sa", check=False))
        controllers = cluster.processes.pop()
        os.killpg(controllers.pid, signal.SIGKILL)
        controllers.wait()
        api, made = Api(cluster), Counter[str]()
        print("| finished | running | Jobs | start, s | MiB | peak MiB | requests to the API server while starting |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for history in sizes:
            for kind, wanted in zip(("finished", "running"), history, strict=True):
                with ThreadPoolExecutor(6) as pool:
                    names = [f"{kind}-{number}" for number in range(made[kind], wanted)]
                    list(pool.map(partial(copies, found[kind], namespace="team", api=api), names))
                made[kind] = wanted
            operator = OperatorProcess(cluster, "team", environment=environment)
            before = api.served()
            operator.start()
            wait_for("its health server listens", partial(listens, operator))
            seconds = settled(operator, sum(history))
            requests = api.served() - before
            jobs = sum(made[kind] * sum(one["kind"] == "Job" for one in found[kind]) for kind in made)
            common = ", ".join(f"{name} {count}" for name, count in requests.most_common(6))
            print(
                f"| {history[0]} | {history[1]} | {jobs} | {seconds:.1f} | {' | '.join(map(str, memory(operator)))} ",
                end="",
            )
            print(f"| {requests.total()}: {common} |", flush=True)
            if history == sizes[-1]:
                print(*outage(cluster, operator), sep="\n")
            operator.kill()


if __name__ == "__main__":
    main()
