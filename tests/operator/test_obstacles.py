"""What a run says when the operator itself cannot go on: refused requests, deletion, a status of somebody else."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operator.builders import NOW, SimulatedRun, manifest, run
from tests.operator.test_jobs import job_of

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.cluster import deletion, obstacles, status_owners
from selfalign_operator.cluster.client import ApiError
from selfalign_operator.cluster.decode import decode_run
from selfalign_operator.cluster.events import transitions
from selfalign_operator.jobs.identity import RUN_UID
from selfalign_operator.jobs.orphans import orphans
from selfalign_operator.planning import unplanned
from selfalign_operator.planning.observation import PREFLIGHT, Observed
from selfalign_operator.planning.plan import plan
from selfalign_stages.contract.task import Failure

NO_LIST = 'pods is forbidden: User "system:serviceaccount:a:b" cannot list resource "pods" in API group ""'
NO_WEBHOOK = 'Internal error occurred: failed calling webhook "x.example.com": connect: connection refused'


@pytest.mark.parametrize(
    ("code", "message", "reason", "says"),
    [
        (403, NO_LIST, "MissingRights", "helm upgrade"),
        (500, NO_WEBHOOK, "WebhookUnavailable", "x.example.com"),
        (504, "timed out", "ApiServerError", "read the log"),
        (422, "Job is invalid: spec", "RequestRefused", "spec"),
        (403, "exceeded quota: few", "RequestRefused", "few"),
        (403, "denied: a Job cannot use this image", "RequestRefused", "image"),
        (403, "jobs is forbidden: cannot set blockOwnerDeletion if you", "MissingRights", "helm upgrade"),
    ],
)
def test_a_refusal_that_a_retry_does_not_mend_has_a_reason_and_a_remedy(
    code: int, message: str, reason: str, says: str
) -> None:
    error = ApiError(code, message)
    failure = obstacles.explain(error, doing="reconcile the run")
    assert obstacles.is_refusal(error) and failure.reason == reason
    assert message in failure.message and says in failure.message


@pytest.mark.parametrize("code", [0, 404, 409, 429, 503])
def test_what_a_retry_mends_is_no_refusal(code: int) -> None:
    assert not obstacles.is_refusal(ApiError(code, "busy"))


def test_a_refused_job_is_named_with_what_was_to_be_done() -> None:
    quota, rights = ApiError(403, "exceeded quota: few"), ApiError(403, NO_LIST)
    created = obstacles.explain_job(quota, id_="import", verb="create")
    assert (created.reason, created.message.partition(":")[0]) == ("JobRefused", "import")
    assert "delete the Job of import" in obstacles.explain_job(rights, id_="import", verb="delete").message


def accepted_run() -> SimulatedRun:
    one = run()
    simulated = SimulatedRun(one.model_copy(update={"metadata": one.metadata.model_copy(update={"uid": "u"})}))
    simulated.reconcile()
    simulated.end(PREFLIGHT)
    simulated.reconcile()
    return simulated


BLOCKED = Failure(reason="MissingRights", message="cannot list pods")


def test_a_run_that_cannot_be_observed_says_why_and_keeps_what_is_recorded() -> None:
    simulated = accepted_run()
    status = unplanned.blocked(simulated.run, BLOCKED, NOW)
    reconciling = status.condition("Reconciling")
    assert reconciling is not None and (reconciling.status, reconciling.reason) == ("True", "MissingRights")
    assert status.steps == simulated.run.status.steps and status.preflight == simulated.run.status.preflight
    again = simulated.run.model_copy(update={"status": status})
    assert unplanned.blocked(again, BLOCKED, NOW + timedelta(hours=1)) == status, "a second reconcile writes nothing"
    assert [one.reason for one in transitions(simulated.run.status, status)] == ["MissingRights"]


def test_an_edit_of_a_ready_run_that_is_blocked_starts_once_it_is_not() -> None:
    simulated = SimulatedRun(run())
    simulated.to_the_end()
    metadata = simulated.run.metadata.model_copy(update={"generation": 2})
    edited = simulated.run.model_copy(update={"metadata": metadata})
    edited = edited.model_copy(update={"spec": edited.spec.model_copy(update={"seed": 7})})
    blocked = edited.model_copy(update={"status": unplanned.blocked(edited, BLOCKED, NOW)})
    planned = plan(blocked, Observed(), simulated.now)
    assert planned.actions and not planned.finished
    assert [past.generation for past in blocked.status.history] == [1], "the image can still be rolled back to"


def test_a_deleted_run_names_the_finalizers_that_keep_it() -> None:
    status = unplanned.deleting(accepted_run().run, ("example.com/a", "example.com/b"), NOW)
    ready = status.condition("Ready")
    assert status.phase == "Deleting" and ready is not None and ready.reason == "Deleting"
    assert "finalizer example.com/a, example.com/b" in ready.message and ready.message.endswith("}}'")


@pytest.mark.parametrize(
    ("finalizers", "foreign"),
    [
        (["example.com/a"], ("example.com/a",)),
        (["foregroundDeletion", "example.com/a"], ("example.com/a",)),
        (["foregroundDeletion"], ()),
        (["orphan", "example.com/a"], ()),
        (None, ()),
    ],
)
def test_pods_are_stopped_for_finalizers_of_other_parties_alone(
    finalizers: list[str] | None, foreign: tuple[str, ...]
) -> None:
    assert deletion.foreign_finalizers({"metadata": {"finalizers": finalizers}}) == foreign


def orphaned(name: str, **changes: Any) -> dict[str, Any]:
    job = job_of("import")
    job["metadata"] |= {"name": name, "labels": job["metadata"]["labels"] | {RUN_UID: "old"}, "ownerReferences": []}
    job["metadata"] |= changes
    return job


def test_running_jobs_that_an_earlier_run_left_behind_are_named_with_their_removal() -> None:
    done = orphaned("done") | {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    owned = orphaned("owned", ownerReferences=[{"uid": "old"}])
    jobs = [orphaned("b"), orphaned("a"), done, owned, orphaned("going", deletionTimestamp="x"), job_of("import")]
    assert orphans(jobs, uid="u-1") == ("a", "b")
    simulated = accepted_run()
    attempts = {id_: tuple(tried) for id_, tried in simulated.attempts.items()}
    status = plan(simulated.run, Observed(attempts, orphans=("a", "b")), NOW).status
    reconciling = status.condition("Reconciling")
    assert reconciling is not None and reconciling.reason == "OrphanedJobs"
    assert "kubectl delete job a b" in reconciling.message


def restored(uid: str, **status: Any) -> SelfAlignRun:
    body = manifest()
    body["metadata"] |= {"uid": uid, "generation": 2}
    decoded = decode_run(
        body | {"status": {"observedGeneration": 2, "completionTime": "2030-01-01T00:00:00Z", **status}}
    )
    assert isinstance(decoded, SelfAlignRun)
    return decoded


def test_a_status_of_another_run_is_not_believed_except_for_its_history() -> None:
    past = {"generation": 1, "image": "a", "digest": "sha256:a", "completionTime": "2030-01-01T00:00:00Z"}
    mine, other = restored("u", runUid="u"), restored("u", runUid="old", history=[past])
    assert mine.status.completion_time is not None
    assert other.status.completion_time is None and other.status.observed_generation == -1
    assert [one.generation for one in other.status.history] == [1]
    assert plan(other, Observed(), NOW).actions


def test_a_recorded_preflight_that_lacks_an_input_is_not_believed() -> None:
    simulated = accepted_run()
    preflight = simulated.run.status.preflight
    assert preflight is not None
    lacking = preflight.model_copy(update={"leaves": dict(list(preflight.leaves.items())[1:])})
    status = simulated.run.status.model_copy(update={"preflight": lacking})
    planned = plan(simulated.run.model_copy(update={"status": status}), Observed(), NOW)
    assert [type(action).__name__ for action in planned.actions] == ["StartPreflight"]


def test_fields_of_other_managers_are_noticed() -> None:
    own = {"manager": "selfalign-operator", "operation": "Apply", "subresource": "status"}
    assert not status_owners.shared([own, {"manager": "kubectl", "operation": "Update"}])
    assert status_owners.shared([own, own | {"manager": "velero", "operation": "Update"}])
    assert status_owners.shared([own | {"operation": "Update"}])
    assert not status_owners.shared(None)


VALUES = st.recursive(
    st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


def apply_patch(old: Any, patch: Any) -> Any:
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = apply_patch(result.get(name), value)
    return result


@settings(deadline=None)
@given(OBJECTS, OBJECTS)
def test_a_merge_patch_makes_the_old_status_the_new_one(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert apply_patch(old, status_owners.merge_patch(old, new)) == new
    assert status_owners.merge_patch(new, new) == {}
