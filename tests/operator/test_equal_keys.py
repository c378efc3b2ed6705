"""Runs with equal keys: what is made once, who waits for whom, and who takes over."""

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from tests.operator.builders import NOW, SimulatedRun, manifest

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.cluster.client import RunKey
from selfalign_operator.cluster.equal_keys import FINISHED_RUNS, EqualKeys
from selfalign_operator.jobs.identity import AttemptId, labels
from selfalign_operator.planning import graph
from selfalign_operator.planning.equal_keys import OWN_KINDS, store_digest
from selfalign_operator.planning.observation import PREFLIGHT, Observed
from selfalign_operator.planning.plan import Plan, RemoveAttempt, StartPreflight
from selfalign_stages.contract.task import Failure

STORE = {"artifacts": {"uri": "s3://runs/a"}, "image": {"repository": "reg.test/ida"}}
SHARED = {step.id for step in graph.steps(SelfAlignRun.model_validate(manifest())) if step.kind not in OWN_KINDS}
ANSWERS, TOPICS = "selfalign-answers", "redteaming-topics"


@dataclass
class Neighbour(SimulatedRun):
    """A run that plans with the work of others, and records its own after the plan and after the actions."""

    shared: EqualKeys = field(default_factory=EqualKeys)
    refused: bool = False
    """The API server refuses the Jobs of its steps."""

    def observed(self) -> Observed:
        return replace(super().observed(), maker_of=self.shared.maker_of(self.run))

    def reconcile(self) -> Plan:
        planned = self.plan()
        self.shared.record(self.run, planned.work)
        if self.refused and not any(isinstance(one, StartPreflight | RemoveAttempt) for one in planned.actions):
            self.run = self.run.model_copy(update={"status": planned.status})
        else:
            super().reconcile()
        again = self.plan()
        self.shared.record(self.run, again.work)
        self.run = self.run.model_copy(update={"status": again.status})
        return again

    def _check_inputs_exist(self, action: Any) -> None:
        """Inputs may come from a neighbour, whose attempts this run does not have."""

    @property
    def key(self) -> RunKey:
        return self.run.metadata.namespace, self.run.metadata.name

    def waits_for(self, id_: str) -> str | None:
        return self.run.status.steps[id_].waits_for_run

    def suspend(self) -> None:
        self.run = self.run.model_copy(update={"spec": self.run.spec.model_copy(update={"suspend": True})})


class Cluster:
    """Runs under one operator, which reconciles those that it was woken for."""

    def __init__(self, *specs: dict[str, Any], namespaces: tuple[str, ...] = ()) -> None:
        self.woken: list[RunKey] = []
        self.shared = EqualKeys(wake=self.woken.append)
        self.runs: dict[str, Neighbour] = {}
        for number, spec in enumerate(specs):
            name = "abcdefgh"[number]
            body = manifest(**spec)
            created = (NOW - timedelta(minutes=len(specs) - number)).isoformat()
            namespace = namespaces[number] if namespaces else "default"
            body["metadata"] = {
                "name": name,
                "namespace": namespace,
                "uid": f"uid-{name}",
                "creationTimestamp": created,
            }
            self.runs[name] = Neighbour(SelfAlignRun.model_validate(body), shared=self.shared)
        for one in self.runs.values():
            one.reconcile()
            one.end(PREFLIGHT)

    def __getitem__(self, name: str) -> Neighbour:
        return self.runs[name]

    def reconcile(self, *names: str) -> None:
        """Reconciles the named runs, or all, then all that are woken until nobody is."""
        for name in names or self.runs:
            self.runs[name].reconcile()
        for _ in range(100):
            if not self.woken:
                return
            woken, self.woken[:] = list(dict.fromkeys(self.woken)), []
            for key in woken:
                if (one := next((one for one in self.runs.values() if one.key == key), None)) is not None:
                    one.reconcile()
        raise AssertionError("the runs wake each other without an end")

    def delete(self, name: str) -> None:
        self.shared.forget(self.runs.pop(name).key)
        self.reconcile(*[next(iter(self.runs))])

    def to_the_end(self, choice: random.Random | None = None) -> None:
        """Ends one process after the other until nothing runs."""
        self.reconcile()
        while running := [(name, id_) for name, one in self.runs.items() for id_ in one.running()]:
            name, id_ = choice.choice(running) if choice else running[0]
            self.runs[name].end(id_, 75 if self.runs[name].attempts[id_][-1].stopping else 0)
            self.reconcile(name)

    def started(self) -> Counter[str]:
        return Counter(id_ for one in self.runs.values() for id_ in one.started)


def test_five_equal_runs_make_every_shared_artifact_once() -> None:
    cluster = Cluster(*[STORE] * 5)
    cluster.to_the_end(random.Random(1))
    assert all(one.run.status.ready for one in cluster.runs.values())
    assert {id_: times for id_, times in cluster.started().items() if id_ in SHARED} == dict.fromkeys(SHARED, 1)
    assert all(cluster.started()[id_] == 5 for id_ in (PREFLIGHT, "evaluation-gate"))
    for one in cluster.runs.values():
        assert one.plan().actions == () and one.plan().status == one.run.status


def test_a_run_that_waits_says_for_whom_and_takes_the_artifact_over_as_a_hit() -> None:
    cluster = Cluster(STORE, STORE, namespaces=("team", "other"))
    cluster.reconcile()
    assert cluster["a"].running() == ["import"] and cluster["b"].running() == []
    step = cluster["b"].run.status.steps["import"]
    assert (step.state, step.waits_for_run, step.attempt) == ("Waiting", "team/a", 0)
    assert step.message == "waits for step import of run team/a, which makes the same artifact"
    reconciling = cluster["b"].run.status.condition("Reconciling")
    assert reconciling is not None and reconciling.reason == "WaitingForRun" and "team/a" in reconciling.message
    cluster["a"].end("import")
    cluster.reconcile("a")
    step = cluster["b"].run.status.steps["import"]
    assert (step.state, step.cache, step.digest, step.waits_for_run, step.message) == (
        "Succeeded",
        "Hit",
        "sha256:import",
        None,
        None,
    )


@pytest.mark.parametrize("other", [{"artifacts": {"uri": "s3://runs/b"}}, STORE | {"seed": 7}])
def test_runs_with_another_store_or_key_wait_for_nobody(other: dict[str, Any]) -> None:
    cluster = Cluster(STORE, other)
    cluster.to_the_end()
    assert cluster["b"].run.status.ready
    assert (TOPICS in cluster["b"].started) and (TOPICS in cluster["a"].started)


def test_a_store_is_the_same_however_it_is_reached() -> None:
    def digest(**artifacts: Any) -> str:
        return store_digest(SelfAlignRun.model_validate(manifest(artifacts={"uri": "s3://runs/a"} | artifacts)))

    assert digest() == digest(uri="s3://runs/a/") == digest(region="eu-west-1") != digest(uri="s3://runs/b")
    assert digest(endpoint="http://one:1") == digest(endpoint="http://one:1/") != digest()
    assert store_digest(SelfAlignRun.model_validate(manifest())) == ""


@pytest.mark.parametrize("how", ["fails", "is suspended", "is deleted", "is over budget"])
def test_another_run_takes_over_when_the_first(how: str) -> None:
    spec = STORE | {"retries": {"perStage": 0}, "budget": {"deadline": "1h"}}
    cluster = Cluster(spec, STORE, STORE)
    cluster.reconcile()
    assert cluster["b"].waits_for("import") == cluster["c"].waits_for("import") == "default/a"
    if how == "fails":
        cluster["a"].end("import", 1)
        cluster.reconcile("a")
    elif how == "is suspended":
        cluster["a"].suspend()
        cluster.reconcile("a")
    elif how == "is deleted":
        cluster.delete("a")
    else:
        cluster["a"].advance(3601)
        cluster.reconcile("a")
    assert cluster["b"].running() == ["import"] and cluster["c"].running() == []
    assert cluster["c"].waits_for("import") == "default/b"
    if "a" in cluster.runs:
        for id_ in cluster["a"].running():
            cluster["a"].end(id_, 75)
    cluster.to_the_end()
    assert cluster["b"].run.status.ready and cluster["c"].run.status.ready
    assert cluster["b"].started.count("import") + cluster["c"].started.count("import") == 1


def test_a_step_in_its_backoff_is_waited_for_and_counts_no_attempt_elsewhere() -> None:
    cluster = Cluster(STORE, STORE)
    cluster.reconcile()
    cluster["a"].end("import", 1)
    cluster.reconcile("a")
    cluster.reconcile("b")
    assert cluster["b"].running() == [] and cluster["b"].waits_for("import") == "default/a"
    cluster["a"].advance(10)
    cluster.reconcile("a")
    assert cluster["a"].running() == ["import"] and cluster["b"].run.status.steps["import"].attempt == 0


@pytest.mark.parametrize(
    ("reason", "waits"),
    [("QuotaPending", True), ("Unschedulable", True), ("ImagePullBackOff", False), ("PodsRefused", False)],
)
def test_a_job_in_a_queue_is_waited_for_and_one_that_cannot_start_is_not(reason: str, waits: bool) -> None:
    cluster = Cluster(STORE, STORE)
    cluster.reconcile()
    cluster["a"].change("import", pending=Failure(reason=reason, message="no"))
    cluster.reconcile("a")
    assert (cluster["b"].waits_for("import") == "default/a") is waits
    assert cluster["b"].running() == ([] if waits else ["import"])
    if waits:
        assert f"({reason})" in (cluster["b"].run.status.steps["import"].message or "")


def test_an_older_run_does_not_wait_for_the_queued_job_of_a_younger_one() -> None:
    cluster = Cluster(STORE, STORE)
    cluster.reconcile("b")
    cluster["b"].change("import", pending=Failure(reason="QuotaPending", message="no"))
    cluster.reconcile("b", "a")
    assert cluster["a"].running() == ["import"]
    cluster["a"].end("import")
    cluster.reconcile("a")
    assert cluster["b"].attempts["import"][-1].stopping, "its Job leaves the queue: the artifact exists"
    cluster.to_the_end()
    assert cluster["a"].run.status.ready and cluster["b"].run.status.ready


def test_a_run_with_another_placement_does_not_wait_for_a_queued_job() -> None:
    elsewhere = {"podDefaults": {"template": {"spec": {"nodeSelector": {"disk": "fast"}}}}}
    cluster = Cluster(STORE, STORE | elsewhere)
    cluster.reconcile("a")
    cluster["a"].change("import", pending=Failure(reason="Unschedulable", message="no node fits"))
    cluster.reconcile("a", "b")
    assert cluster["b"].running() == ["import"]
    cluster["b"].end("import")
    cluster.reconcile("b")
    assert cluster["a"].attempts["import"][-1].stopping


def test_a_running_job_of_a_younger_run_is_waited_for() -> None:
    cluster = Cluster(STORE, STORE)
    cluster.reconcile("b", "a")
    assert cluster["b"].running() == ["import"] and cluster["a"].waits_for("import") == "default/b"


def test_runs_that_wait_for_each_other_at_different_steps_both_end() -> None:
    cluster = Cluster(STORE, STORE)
    cluster.reconcile()
    cluster["a"].end("import")
    cluster["a"].suspend()
    cluster.reconcile("a")
    cluster["a"].run = cluster["b"].run.model_copy(
        update={"metadata": cluster["a"].run.metadata, "status": cluster["a"].run.status}
    )
    first, *others = cluster["b"].running()
    cluster["b"].end(first, 1)
    cluster.reconcile("b", "a")
    assert others
    for one in cluster.runs.values():
        one.advance(60)
    cluster.to_the_end(random.Random(1))
    assert cluster["a"].run.status.ready and cluster["b"].run.status.ready


def test_the_deadline_goes_on_while_a_run_waits() -> None:
    cluster = Cluster(STORE, STORE | {"budget": {"deadline": "1h"}})
    cluster.reconcile()
    cluster["b"].advance(3601)
    cluster.reconcile("b")
    stalled = cluster["b"].run.status.condition("Stalled")
    assert stalled is not None and stalled.reason == "DeadlineExceeded"


def test_runs_whose_jobs_are_refused_try_in_turn_and_do_not_wake_each_other_for_ever() -> None:
    cluster = Cluster(STORE, STORE, STORE)
    for one in cluster.runs.values():
        one.refused = True
    for _ in range(3):
        cluster.reconcile()
    assert not any(one.running() for one in cluster.runs.values())
    cluster["c"].refused = False
    cluster.reconcile()
    assert cluster["c"].running() == ["import"]
    cluster.reconcile()
    assert cluster["a"].waits_for("import") == cluster["b"].waits_for("import") == "default/c"


def test_an_artifact_from_before_the_search_of_the_store_is_not_believed() -> None:
    cluster = Cluster(STORE)
    cluster.to_the_end()
    later = Cluster(STORE)["a"]
    later.run = later.run.model_copy(update={"metadata": later.run.metadata.model_copy(update={"name": "later"})})
    later.shared = cluster.shared
    later.change(PREFLIGHT, started=NOW + timedelta(hours=1))
    later.reconcile()
    assert later.running() == ["import"], "preflight did not find it: it was deleted since"


def test_a_lost_artifact_is_made_by_the_run_that_misses_it() -> None:
    cluster = Cluster(STORE, STORE)
    cluster.reconcile()
    cluster["a"].end("import")
    cluster.reconcile("a")
    cluster["a"].suspend()
    cluster.reconcile("a")
    reader = cluster["b"].running()[0]
    key = cluster["b"].run.status.steps["import"].key
    cluster["b"].advance(1)
    cluster["b"].change(
        reader, exit_code=77, finished=cluster["b"].now, failure=Failure(reason="InputLost", message="gone", lost=key)
    )
    cluster.reconcile("b")
    assert "import" in cluster["b"].running()


def test_two_jobs_for_one_key_do_no_harm() -> None:
    cluster = Cluster(STORE, STORE)
    cluster["b"].shared = EqualKeys()
    cluster.reconcile()
    assert cluster["a"].running() == cluster["b"].running() == ["import"]
    cluster["b"].shared = cluster.shared
    cluster.to_the_end()
    assert cluster["a"].run.status.ready and cluster["b"].run.status.ready


def test_a_new_leader_knows_the_jobs_that_exist() -> None:
    cluster = Cluster(STORE, STORE)
    cluster.reconcile("a")
    attempt = cluster["a"].attempts["import"][-1]
    run = cluster["a"].run
    metadata = {
        "name": "a-import",
        "namespace": "default",
        "creationTimestamp": "2029-12-31T00:00:00Z",
        "labels": labels(run, AttemptId("import", attempt.key, 1), stage="import"),
        "annotations": {"selfalign.dev/key": attempt.key},
    }
    restarted = EqualKeys(wake=cluster.woken.append)
    assert restarted.restore([{"metadata": metadata}]) == [("default", "a")]
    cluster["b"].shared = restarted
    cluster.reconcile("b")
    assert cluster["b"].waits_for("import") == "default/a"
    restarted.forget(("default", "a"))
    cluster.reconcile("b")
    assert cluster["b"].running() == ["import"], "the run of the Job is gone"


def test_what_many_finished_runs_made_is_forgotten() -> None:
    cluster = Cluster(STORE)
    cluster.to_the_end()
    work, run = cluster["a"].plan().work, cluster["a"].run
    assert work.finished and work.made
    for number in range(FINISHED_RUNS + 5):
        metadata = run.metadata.model_copy(update={"name": f"r{number}"})
        cluster.shared.record(run.model_copy(update={"metadata": metadata}), work)
    assert len(cluster.shared._entries) == FINISHED_RUNS
