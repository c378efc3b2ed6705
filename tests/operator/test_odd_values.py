"""Whatever value a field of the spec has: it is refused, or graph, plan and every Job can be made from it."""

import copy
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError
from tests.operator.builders import NOW, SimulatedRun
from tests.operator.test_every_field import BASE, FIELDS, IMAGES
from tests.operator.test_job_status import observed_job
from tests.operator.test_jobs import job_for, leaf_digests_of
from tests.scale import scaled

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.jobs import job_status
from selfalign_operator.jobs.identity import ATTEMPT, GENERATION, STEP, generation, is_attempt
from selfalign_operator.jobs.job import preflight_job, step_job
from selfalign_operator.manifest import cross_field, environments
from selfalign_operator.planning import graph
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.plan import StartPreflight, StartStep
from selfalign_stages.contract.graph import keys
from selfalign_stages.contract.task import PreflightResult, Progress

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e308, -1e308, float("inf"), float("-inf"), float("nan"), 2**31),
    *(2**53, 2**63 - 1, 2**63, 10**400, -(10**400)),
    *("", " ", "0", "-1", "1k", "1.5", "500m", "1Ki", "1e3", "1e-3", "1e99", "NaN", "Infinity", "9" * 400, "99999999h"),
    *("2030-01-01", "2030-01-01T00:00:00Z", "a" * 253, "a" * 64, "A_b", "a/b", "a/b/c", "ä", "\u202eabc", "\x00", "\n"),
    *("\ud800", "null", "~", "{}", "s3://", "hf://", "file://", "builtin://", "pack://", "${x}", "$(X)", "%s", "*"),
    *([], [None], [[]], [""], [1, "1", None], ["a", "a"], [{}], [{"name": None}], [{"name": 1}, {"name": 1}]),
    *(
        {},
        {"": ""},
        {"a": None},
        {"name": None},
        {"name": ["x"]},
        {"nvidia.com/gpu": "1.5"},
        {"nvidia.com/gpu": 10**30},
    ),
    *({"cpu": ""}, {"cpu": "0"}, {"cpu": 2**63 - 1}, {"memory": "1e99"}, {"a" * 253: "1"}, {"a/b": "NaN"}),
    {"metadata": None, "spec": None},
    {"metadata": {"labels": {"a": None, "b": 1}, "annotations": []}, "spec": {"containers": None}},
    {"spec": {"containers": "stage"}},
    {"spec": {"containers": [None, 1, "stage"]}},
    {"spec": {"containers": [{"name": 1, "env": None}, {"name": ["stage"]}]}},
    {"spec": {"containers": [{"name": "stage", "env": [{"name": {"a": 1}}, {"name": ["b"]}]}]}},
    {"spec": {"containers": [{"name": "stage"}, {"name": "stage"}]}},
    {"spec": {"containers": [{"name": "stage", "resources": {"limits": {"nvidia.com/gpu": "1.5"}}}]}},
    {"spec": {"containers": [{"name": "stage", "resources": {"limits": {"nvidia.com/gpu": None, "cpu": []}}}]}},
    {"spec": {"containers": [{"name": "stage", "resources": {"limits": [], "requests": 1, "claims": [{}]}}]}},
    {"spec": {"containers": [{"name": "stage", "resources": None, "volumeMounts": {"mountPath": "/a"}}]}},
    {"spec": {"volumes": [{"name": {}}, {"name": "tmp", "emptyDir": None}], "hostAliases": [{"ip": []}]}},
    {"spec": {"nodeSelector": {"a": 2**70, "b": float("nan")}, "tolerations": {}, "schedulingGates": [{"name": {}}]}},
    {
        "spec": {
            "initContainers": [{"name": None}],
            "resourceClaims": [{"name": []}],
            "terminationGracePeriodSeconds": "",
        }
    },
)
"""Values that some field, schema or library is known to be surprised by."""


def outcomes(one: SelfAlignRun, *, to_the_end: bool = False) -> None:
    """Everything that a reconcile makes from a run; fails with what it raises."""
    list(cross_field.problems(one, invalid=set()))
    list(environments.problems_on_a_cluster(one, pack_exists=True))
    environments.problems_on_one_machine(one)
    environments.ignored_on_one_machine(one)
    steps = graph.steps(one)
    leaves = leaf_digests_of(one)
    by_step = keys(steps, leaves=leaves, seed=one.spec.seed)
    # what has no store on S3 is refused by then
    if one.spec.artifacts is not None and one.spec.artifacts.uri.startswith("s3://"):
        jobs = [preflight_job(one, StartPreflight("0" * 64, 1), images=IMAGES, pack=None)]
        for step in steps:
            start = StartStep(step, by_step[step.id], 1, {}, {name: leaves[name] for name in step.leaves})
            jobs.append(step_job(one, start, images=IMAGES, pack=None))
        # as the client sends it; the API server judges the rest
        json.dumps(jobs).encode()
    simulated = SimulatedRun(one)
    simulated.reconcile()
    if PREFLIGHT in simulated.running():
        simulated.end(PREFLIGHT, answer=PreflightResult(leaves=leaves))
        simulated.reconcile()
    if to_the_end:
        simulated.to_the_end()
        simulated.advance(10)
        simulated.reconcile()
    for id_ in simulated.running():
        simulated.end(id_, 1)
    simulated.reconcile()
    json.dumps(simulated.run.status.to_dict()).encode()


def with_value(path: str, value: Any) -> dict[str, Any]:
    """The manifest with a value at a path; whatever is in its way becomes a map."""
    manifest = copy.deepcopy(BASE)
    at: dict[str, Any] = manifest
    *parents, last = path.split(".")
    for name in parents:
        if not isinstance(at.get(name), dict):
            at[name] = {}
        at = at[name]
    at[last] = value
    return manifest


def is_accepted(manifest: dict[str, Any], *, to_the_end: bool = False) -> bool:
    """Whether the schema accepts a manifest; fails if it does and something cannot be made from it."""
    try:
        one = SelfAlignRun.model_validate(manifest)
    except ValidationError:
        return False
    outcomes(one, to_the_end=to_the_end)
    return True


@pytest.mark.parametrize("path", sorted(FIELDS))
def test_an_odd_value_is_refused_or_usable(path: str) -> None:
    values = random.Random(path).sample(ODD, scaled(6, len(ODD)))
    for value in values:
        try:
            is_accepted(with_value(path, value))
        except Exception as error:
            raise AssertionError(f"{path}: {value!r} raises {type(error).__name__}: {error}") from error


WITHOUT_STEPS = ("budget", "retries", "suspend", "queueName", "ttlSecondsAfterFinished", "onSpecChange", "podDefaults")
"""Fields that the plan reads while a run goes on and ends."""


@pytest.mark.parametrize("path", [path for path in sorted(FIELDS) if path.split(".")[1] in WITHOUT_STEPS])
def test_a_run_with_an_odd_value_that_is_accepted_comes_to_an_end(path: str) -> None:
    accepted = [value for value in ODD if not isinstance(value, dict) and is_accepted(with_value(path, value))]
    for value in random.Random(path).sample(accepted, min(scaled(2, 99), len(accepted))):
        is_accepted(with_value(path, value), to_the_end=True)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.ttlSecondsAfterFinished", 2**63 - 1),
        ("spec.ttlSecondsAfterFinished", 2**31),
        ("spec.budget.deadline", "99999999h"),
        ("spec.budget.deadline", "9" * 400),
        ("spec.budget.gpuHours", "NaN"),
        ("spec.queueName", "a/b"),
        ("spec.queueName", "ä"),
        ("spec.podDefaults.serviceAccountName", "A_b"),
        ("spec.artifacts.secretRef.name", "../other"),
        ("spec.principles.configMapRef.name", "a?b=c"),
        ("spec.principles.configMapRef.name", "a" * 254),
        ("spec.stages.selfAlign.resources.limits", {"nvidia.com/gpu": "1.5"}),
        ("spec.stages.selfAlign.resources.limits", {"cpu": "NaN"}),
        ("spec.stages.selfAlign.resources.limits", {"memory": 10**400}),
    ],
)
def test_what_could_only_fail_later_is_refused(path: str, value: Any) -> None:
    manifest = with_value(path, value)
    if path.startswith("spec.principles."):
        manifest["spec"]["principles"].pop("builtin")
    assert not is_accepted(manifest)


@pytest.mark.parametrize("value", ["68y", 2**31 - 1])
def test_the_longest_time_to_live_is_counted(value: Any) -> None:
    assert is_accepted(with_value("spec.ttlSecondsAfterFinished", value), to_the_end=True) is (value == 2**31 - 1)


def test_a_text_with_dollar_signs_arrives_as_it_was_written() -> None:
    one = SelfAlignRun.model_validate(with_value("spec.assistantName", "$(HOME) $$ $USER"))
    (container,) = job_for(one, "engraving-train")["spec"]["template"]["spec"]["containers"]
    env = {variable["name"]: variable.get("value", "") for variable in container["env"]}
    # Kubernetes' expansion: $$ becomes $, and $(NAME) only counts where the $ is a single one.
    assert "$(HOME)" not in env["SELFALIGN_TASK"].replace("$$", "")
    assert "$(HOME) $$ $USER" in env["SELFALIGN_TASK"].replace("$$", "$")


def test_the_operator_decodes_the_deepest_object_that_an_api_server_stores() -> None:
    """In a process of its own: the recursion limit belongs to the process."""
    program = (
        "import json; from selfalign_operator.cluster.main import allow_deep_objects; allow_deep_objects();"
        "from selfalign_operator.jobs.overlay import overlay;"
        "print(len(json.dumps(overlay({}, json.loads('{\"a\":' * 9990 + '1' + '}' * 9990)))))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert int(ended.stdout) > 9990


@pytest.mark.parametrize(
    "edit",
    [
        lambda metadata: metadata["labels"].pop(STEP),
        lambda metadata: metadata["labels"].pop(ATTEMPT),
        lambda metadata: metadata["labels"].update({ATTEMPT: "first"}),
        lambda metadata: metadata["labels"].update({ATTEMPT: "0"}),
        lambda metadata: metadata["labels"].update({ATTEMPT: "-1"}),
        lambda metadata: metadata.pop("labels"),
        lambda metadata: metadata.pop("ownerReferences"),
        lambda metadata: metadata["ownerReferences"][0].update({"uid": "another", "controller": True}),
        lambda metadata: metadata["ownerReferences"][0].pop("controller"),
    ],
)
def test_a_job_that_somebody_else_made_or_edited_is_no_attempt(edit: Callable[[dict[str, Any]], Any]) -> None:
    job = job_for(SelfAlignRun.model_validate(BASE), "engraving-train")
    assert is_attempt(job)
    edit(job["metadata"])
    assert not is_attempt(job)


@pytest.mark.parametrize("text", ["", "one", "-1", "1.5", "٣", "9" * 400])
def test_a_generation_that_is_no_number_counts_for_every_generation(text: str) -> None:
    job = job_for(SelfAlignRun.model_validate(BASE), "engraving-train")
    assert generation(job) == 1
    job["metadata"]["annotations"][GENERATION] = text
    assert generation(job) is None
    job["metadata"]["annotations"] = None
    assert generation(job) is None


def test_progress_whose_sums_are_infinite_can_be_written() -> None:
    huge = Progress(done=-1e308, total=1e308, unit="rows", rate=1e308)
    tiny = Progress(done=0, total=1e308, unit="rows", rate=5e-324)
    for workers in ([huge, huge], [tiny], [huge, tiny]):
        pods = [{"metadata": {"name": f"p{n}", "creationTimestamp": "2030-01-01T00:00:00Z"}} for n in (0, 1)]
        job = observed_job()
        by_pod = {f"p{n}": progress for n, progress in enumerate(workers)}
        attempt = job_status.attempt(job, pods, progress=by_pod, now=NOW)
        assert attempt.progress is not None
        json.dumps(attempt.progress.to_dict(), allow_nan=False)
