"""The operator against a real API server and Job controller: what it writes, and what it does not."""

import time
from collections import Counter
from functools import partial
from random import Random
from typing import Any

import pytest
import yaml
from tests.cluster.control_plane import wait_for
from tests.cluster.namespace import OWN_SUITES, Namespace
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.pretend_node import Ending, pretend_node, publish

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.jobs.identity import STEP
from selfalign_operator.planning import graph
from selfalign_stages.contract.counts import Counts
from selfalign_stages.contract.task import PreflightResult, Problem, Result
from selfalign_stages.contract.termination_message import encode

pytestmark = pytest.mark.slow


def steps_of(namespace: Namespace, **spec: Any) -> set[str]:
    """Every process of a run."""
    return {"preflight", *(step.id for step in graph.steps(SelfAlignRun.model_validate(namespace.manifest(**spec))))}


def started(namespace: Namespace) -> Counter[str]:
    """Jobs by step."""
    return Counter(job["metadata"]["labels"][STEP] for job in namespace.jobs())


def test_a_run_becomes_ready_with_one_job_for_every_step(namespace: Namespace, operator: OperatorProcess) -> None:
    with pretend_node(namespace.cluster, publish):
        namespace.apply()
        namespace.wait("Ready", "True")
    assert started(namespace) == dict.fromkeys(steps_of(namespace), 1)
    status = namespace.status()
    assert status["phase"] == "Ready" and status["image"]["reference"] == "reg.test/ida@sha256:abc"
    assert {stage["state"] for stage in status["stages"]} == {"Succeeded"}
    columns = namespace.cluster.kubectl("-n", namespace.name, "get", "sar").splitlines()
    assert columns[0].split() == ["NAME", "PHASE", "STAGE", "PROGRESS", "REASON", "IMAGE", "AGE"]


def test_nothing_is_written_on_users_objects_or_jobs_but_ours(namespace: Namespace, operator: OperatorProcess) -> None:
    with pretend_node(namespace.cluster, publish):
        namespace.apply()
        namespace.wait("Ready", "True")
    metadata = namespace.get("sar", "trial")["metadata"]
    assert "finalizers" not in metadata
    assert set(metadata.get("annotations", {})) == {"kubectl.kubernetes.io/last-applied-configuration"}
    for job in namespace.jobs():
        assert all("kopf" not in name for name in job["metadata"].get("annotations", {}))


def test_a_second_look_writes_nothing(namespace: Namespace, operator: OperatorProcess) -> None:
    with pretend_node(namespace.cluster, publish):
        namespace.apply()
        namespace.wait("Ready", "True")
    before = namespace.get("sar", "trial")["metadata"]["resourceVersion"]
    operator.stop()
    operator.start()
    namespace.apply("other")  # once this one has preflight's Job, the new operator has seen both
    wait_for("the other run is seen", lambda: namespace.status("other").get("phase") == "Preflight")
    assert namespace.get("sar", "trial")["metadata"]["resourceVersion"] == before


def test_killed_at_ten_moments_it_makes_the_same_jobs(namespace: Namespace, operator: OperatorProcess) -> None:
    random, kills = Random(20230504), 0
    with pretend_node(namespace.cluster, publish):
        namespace.apply()
        while kills < 10 and not _ready(namespace):
            seen, more = len(namespace.jobs()), random.randint(0, 2)
            wait_for("more Jobs", partial(_more_jobs, namespace, seen + more))
            operator.kill()
            kills += 1
            operator.start()
        namespace.wait("Ready", "True")
    assert kills >= 5
    assert started(namespace) == dict.fromkeys(steps_of(namespace), 1)


def _more_jobs(namespace: Namespace, than: int) -> bool:
    return len(namespace.jobs()) > than or _ready(namespace)


def _ready(namespace: Namespace) -> bool:
    return namespace.condition("Ready").get("status") == "True"


def test_a_final_exit_code_stalls_the_run_with_its_words(namespace: Namespace, operator: OperatorProcess) -> None:
    def script(step: str, pod: dict[str, Any]) -> Ending:
        if step == "import":
            return 42, '{"reason": "PickledWeights", "message": "model.bin is a pickle: convert it"}'
        return publish(step, pod)

    with pretend_node(namespace.cluster, script):
        namespace.apply()
        namespace.wait("Stalled", "True")
    stalled = namespace.condition("Stalled")
    assert stalled["reason"] == "PickledWeights" and "convert it" in stalled["message"]
    assert started(namespace) == {"preflight": 1, "import": 1}
    reasons = {event["reason"] for event in namespace.get("events")["items"]}
    assert {"StepStarted", "StepFailed", "PickledWeights"} <= reasons


def test_a_crash_is_retried_as_a_new_job_and_the_run_goes_on(namespace: Namespace, operator: OperatorProcess) -> None:
    crashed = set()

    def script(step: str, pod: dict[str, Any]) -> Ending:
        if step == "engraving-train" and step not in crashed:
            crashed.add(step)
            return 1, "out of luck"
        return publish(step, pod)

    with pretend_node(namespace.cluster, script):
        namespace.apply()
        namespace.wait("Ready", "True")
    assert started(namespace)["engraving-train"] == 2
    stage = next(stage for stage in namespace.status()["stages"] if stage["name"] == "engraving")
    assert next(step for step in stage["steps"] if step["name"] == "engraving-train")["attempt"] == 2
    assert 'selfalign_retries_total{step="engraving-train"} 1.0' in operator.ask("/metrics")


def test_suspending_ends_pods_and_resuming_goes_on(namespace: Namespace, operator: OperatorProcess) -> None:
    held = {"redteaming-instructions"}

    def script(step: str, pod: dict[str, Any]) -> Ending | None:
        return None if step in held else publish(step, pod)

    with pretend_node(namespace.cluster, script):
        namespace.apply()
        wait_for("instructions run", lambda: started(namespace)["redteaming-instructions"] == 1)
        namespace.apply(suspend=True)
        wait_for("it is suspended", lambda: namespace.status().get("phase") == "Suspended")
        wait_for("its Job is gone", lambda: started(namespace)["redteaming-instructions"] == 0)
        held.clear()
        namespace.apply()
        namespace.wait("Ready", "True")
    step = next(
        s for stage in namespace.status()["stages"] for s in stage["steps"] if s["name"] == "redteaming-instructions"
    )
    assert step["attempt"] == 2


def test_moving_a_stage_reruns_nothing_and_a_new_seed_reruns_what_is_seeded(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    with pretend_node(namespace.cluster, publish):
        namespace.apply()
        namespace.wait("Ready", "True")
        before = started(namespace)
        namespace.apply(podDefaults={"template": {"spec": {"nodeSelector": {"pool": "a"}}}})
        wait_for("the edit is seen", lambda: namespace.status()["observedGeneration"] == 2)
        namespace.wait("Ready", "True")
        assert started(namespace) == before
        namespace.apply(seed=7)
        wait_for("the edit is seen", lambda: namespace.status()["observedGeneration"] == 3)
        namespace.wait("Ready", "True")
    again = {step for step, number in started(namespace).items() if number == 2}
    assert "import" not in again and {"redteaming-topics", "engraving-train", "packaging-push"} <= again
    assert namespace.status()["history"][0]["generation"] == 2


def test_counts_that_a_status_has_told_give_way_to_those_of_an_edited_run(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    held = set[str]()

    def script(step: str, pod: dict[str, Any]) -> Ending | None:
        if step in held:
            return None
        code, message = publish(step, pod)
        if step != "redteaming-prompts":
            return code, message
        counts = Counts(rows=3, kept=1, rejected={"duplicate": 2})
        return code, Result.model_validate_json(message).model_copy(update={"counts": counts}).model_dump_json(
            by_alias=True
        )

    def rejected() -> dict[str, int]:
        steps = [step for stage in namespace.status()["stages"] for step in stage["steps"]]
        found: dict[str, int] = next(s for s in steps if s["name"] == "redteaming-prompts").get("rejected", {})
        return found

    with pretend_node(namespace.cluster, script):
        namespace.apply()
        namespace.wait("Ready", "True")
        assert rejected() == {"duplicate": 2}
        held.add("redteaming-topics")
        namespace.apply(seed=7)
        wait_for("prompts are yet to come", lambda: rejected() == {} and namespace.status()["phase"] != "Preflight")
        held.clear()
        namespace.wait("Ready", "True")
    assert rejected() == {"duplicate": 2}
    assert "is invalid" not in operator.log.read_text()


def test_jobs_that_are_gone_are_not_made_again_for_a_run_that_is_done(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    with pretend_node(namespace.cluster, publish):
        namespace.apply()
        namespace.wait("Ready", "True")
        namespace.cluster.kubectl("-n", namespace.name, "delete", "jobs", "--all")
        operator.stop()
        operator.start()
        namespace.apply("other")
        namespace.wait("Ready", "True", name="other")
    assert {job["metadata"]["labels"]["selfalign.dev/run"] for job in namespace.jobs()} == {"other"}
    assert namespace.condition("Ready")["status"] == "True"


def test_deleting_a_run_deletes_its_jobs_with_the_operator_down(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    with pretend_node(namespace.cluster, publish):
        namespace.apply()
        namespace.wait("Ready", "True")
        operator.stop()
        namespace.cluster.kubectl("-n", namespace.name, "delete", "sar", "trial", "--timeout=20s")
        wait_for("the Jobs are gone", lambda: not namespace.jobs())


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"artifacts": {"uri": "file:///store"}}, "spec.artifacts.uri"),
        ({"image": {}}, "spec.image.repository"),
        (
            {"principles": {"configMapRef": {"name": "nobody"}}, "stages": OWN_SUITES},
            "spec.principles.configMapRef.name",
        ),
        ({"podDefaults": {"template": {"spec": {"restartPolicy": "Sometimes"}}}}, "spec.podDefaults.template"),
        ({"stages": {"engraving": {"gpusPerNode": 2}}}, "spec.stages.engraving"),
        ({"stages": {"engraving": {"resources": {"limits": {"nvidia.com/gpu": 8}}}}}, "GPUs in resources 8"),
    ],
)
def test_what_a_cluster_cannot_do_is_told_before_any_pod(
    namespace: Namespace, operator: OperatorProcess, spec: dict[str, Any], told: str
) -> None:
    namespace.apply(**spec)
    namespace.wait("Accepted", "False", seconds=60)
    assert told in namespace.condition("Accepted")["message"]
    assert namespace.jobs() == []


def test_what_preflight_finds_and_what_the_api_server_refuses_are_told_in_one_message(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    def script(step: str, pod: dict[str, Any]) -> Ending:
        found = Problem(field="spec.artifacts.uri", message="there is no bucket")
        return (0, encode(PreflightResult(problems=(found,))).decode()) if step == "preflight" else publish(step, pod)

    template = {"spec": {"containers": [{"name": "stage", "resources": {"limits": {"cpu": "-1"}}}]}}
    with pretend_node(namespace.cluster, script):
        namespace.apply(stages={"engraving": {"template": template}})
        namespace.wait("Accepted", "False")
    message = namespace.condition("Accepted")["message"]
    assert "spec.artifacts.uri: there is no bucket" in message
    assert "spec.stages.engraving: the API server refuses its Jobs" in message and "cpu" in message
    assert started(namespace) == {"preflight": 1}


def test_an_edit_that_spoils_a_template_is_refused_although_preflight_has_answered(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    def script(step: str, pod: dict[str, Any]) -> Ending | None:
        return None if step == "redteaming-topics" else publish(step, pod)

    with pretend_node(namespace.cluster, script):
        namespace.apply()
        wait_for("topics run", lambda: started(namespace)["redteaming-topics"] == 1)
        namespace.apply(stages={"engraving": {"template": {"spec": {"restartPolicy": "Sometimes"}}}})
        namespace.wait("Accepted", "False")
    assert "spec.stages.engraving" in namespace.condition("Accepted")["message"]
    assert started(namespace)["preflight"] == 1


def test_a_job_that_may_not_be_created_is_told_and_tried_again(namespace: Namespace, operator: OperatorProcess) -> None:
    namespace.cluster.kubectl("-n", namespace.name, "create", "quota", "few", "--hard=count/jobs.batch=2")
    with pretend_node(namespace.cluster, publish):
        namespace.apply()
        wait_for("it is told", lambda: namespace.condition("Reconciling").get("reason") == "JobRefused")
        message = namespace.condition("Reconciling")["message"]
        assert "the API server refuses its Job" in message and "exceeded quota: few" in message
        namespace.cluster.kubectl("-n", namespace.name, "delete", "quota", "few")
        namespace.wait("Ready", "True", seconds=300)
    assert started(namespace) == dict.fromkeys(steps_of(namespace), 1)


def test_an_edit_of_a_pack_reruns_what_reads_it_and_reverting_it_reruns_nothing(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    def pack(text: str) -> None:
        metadata = {"name": "mine", "namespace": namespace.name, "labels": {"selfalign.dev/pack": "true"}}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"principles.yaml": text}}
        namespace.cluster.kubectl("apply", "-f", "-", text=yaml.safe_dump(body))

    def mounted() -> set[str]:
        volumes = [v for job in namespace.jobs() for v in job["spec"]["template"]["spec"]["volumes"]]
        return {volume["configMap"]["name"] for volume in volumes if volume["name"] == "pack"}

    def digests() -> dict[str, str]:
        steps = [step for stage in namespace.status()["stages"] for step in stage["steps"]]
        return {step["name"]: step.get("digest", "") for step in steps}

    pack("one")
    with pretend_node(namespace.cluster, publish):
        namespace.apply(principles={"configMapRef": {"name": "mine"}}, stages=OWN_SUITES)
        namespace.wait("Ready", "True")
        first = digests()
        pack("two")
        wait_for("the new image is told", lambda: digests()["packaging-push"] not in ("", first["packaging-push"]))
        namespace.wait("Ready", "True")
        assert {step for step, digest in digests().items() if digest == first[step]} == {"import"}
        assert len(mounted()) == 2
        jobs = started(namespace)
        pack("one")
        wait_for("the first artifacts are told again", lambda: digests() == first)
        namespace.wait("Ready", "True")
    assert started(namespace) == jobs


def test_a_second_operator_takes_over_and_makes_no_job_twice(namespace: Namespace, operator: OperatorProcess) -> None:
    def script(step: str, pod: dict[str, Any]) -> Ending | None:
        return None if step == "import" and operator.process is not None else publish(step, pod)

    with pretend_node(namespace.cluster, script):
        namespace.apply()
        wait_for("the import runs", lambda: started(namespace)["import"] == 1)
        second = OperatorProcess(namespace.cluster, namespace.name, identity="operator-1")
        second.start()
        try:
            wait_for("the second one waits", lambda: _holder(namespace) == "operator-0")
            operator.kill()
            wait_for("the second one leads", lambda: _holder(namespace) == "operator-1")
            namespace.wait("Ready", "True")
        finally:
            second.stop()
    assert started(namespace) == dict.fromkeys(steps_of(namespace), 1)


def _holder(namespace: Namespace) -> str:
    leases = namespace.get("leases")["items"]
    return next((lease["spec"]["holderIdentity"] for lease in leases), "")


def test_an_operator_that_is_told_to_end_lets_go_of_the_lead_at_once(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    wait_for("it leads", lambda: _leader(namespace) == operator.identity)
    operator.stop()
    assert _leader(namespace) == ""


def test_the_operator_answers_probes_and_scrapes(namespace: Namespace, operator: OperatorProcess) -> None:
    with pretend_node(namespace.cluster, publish):
        namespace.apply()
        namespace.wait("Ready", "True")
    assert "last watch event" in operator.ask("/healthz")
    metrics = operator.ask("/metrics")
    assert 'selfalign_jobs_created_total{step="import"} 1.0' in metrics
    assert 'selfalign_steps_total{state="Succeeded",step="packaging-push"} 1.0' in metrics
    assert 'selfalign_step_duration_seconds_count{step="packaging-push"} 1.0' in metrics
    assert "selfalign_retries_total{" not in metrics
    assert 'selfalign_runs{phase="Ready"} 1.0' in metrics
    namespace.cluster.kubectl("-n", namespace.name, "delete", "sar", "trial")
    wait_for("the run is counted no more", lambda: 'selfalign_runs{phase="Ready"} 0.0' in operator.ask("/metrics"))


def test_a_quota_that_leaves_no_room_is_the_reason_within_a_minute(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    namespace.cluster.kubectl("-n", namespace.name, "create", "quota", "none", "--hard=pods=0")
    namespace.apply()
    wait_for("the quota is told", lambda: namespace.condition("Reconciling").get("reason") == "QuotaExceeded")
    assert "exceeded quota: none" in namespace.condition("Reconciling")["message"]
    assert namespace.status()["phase"] == "Preflight"


def test_a_namespace_that_takes_no_events_still_has_its_runs_told(
    namespace: Namespace, operator: OperatorProcess
) -> None:
    _refuse_events(namespace)
    with pretend_node(namespace.cluster, publish):
        namespace.apply()
        namespace.wait("Ready", "True")
    told = namespace.get("events", "--field-selector=involvedObject.kind=SelfAlignRun")
    assert told["items"] == []


def test_a_step_that_runs_for_long_is_not_told_again_and_again(namespace: Namespace, operator: OperatorProcess) -> None:
    def script(step: str, pod: dict[str, Any]) -> Ending | None:
        return None if step.startswith("redteaming") else publish(step, pod)

    with pretend_node(namespace.cluster, script):
        namespace.apply(stages={"redTeaming": {"resources": {"limits": {"nvidia.com/gpu": 1}}}})
        wait_for("devices are counted", lambda: namespace.status().get("gpuHours") is not None)
        seen, until = set(), time.monotonic() + 6
        while time.monotonic() < until:
            seen.add(namespace.get("sar", "trial")["metadata"]["resourceVersion"])
    assert len(seen) <= 2


def _leader(namespace: Namespace) -> str:
    leases = namespace.get("leases")["items"]
    return str(leases[0]["spec"].get("holderIdentity", "")) if leases else ""


def _refuse_events(namespace: Namespace) -> None:
    """As a namespace does that is going away: the API server takes no Event about runs in it."""
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": namespace.name}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["events"]}
    spoken = {"expression": "object.involvedObject.kind != 'SelfAlignRun'"}
    policy = {"matchConstraints": {"resourceRules": [rule]}, "validations": [spoken]}
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}}}
    binding = {"policyName": namespace.name, "validationActions": ["Deny"], "matchResources": here}
    objects = [
        kind | {"kind": "ValidatingAdmissionPolicy", "spec": policy},
        kind | {"kind": "ValidatingAdmissionPolicyBinding", "spec": binding},
    ]
    namespace.cluster.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(objects))
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "probe", "namespace": namespace.name}}
    probe = event | {"involvedObject": {"kind": "SelfAlignRun", "namespace": namespace.name}}
    create = ("create", "--dry-run=server", "-f", "-")
    wait_for(
        "Events are refused",
        lambda: "denied" in namespace.cluster.kubectl(*create, text=yaml.safe_dump(probe), check=False),
    )
