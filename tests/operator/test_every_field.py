"""Every field of the spec changes a task, a Job or a decision of the plan, or its change is refused."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.operator.builders import SimulatedRun
from tests.operator.test_jobs import job_for, leaf_digests_of

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.jobs.job import StageImages, preflight_job
from selfalign_operator.manifest import environments, loading
from selfalign_operator.planning import graph
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.plan import StartPreflight
from selfalign_operator.schemas import crd
from selfalign_stages.contract.graph import keys

IMAGES = StageImages({name: f"local.test/{name}:1" for name in ("cpu", "generate", "train")})
BASE: dict[str, Any] = {
    "apiVersion": "selfalign.dev/v1alpha1",
    "kind": "SelfAlignRun",
    "metadata": {"name": "trial", "namespace": "team", "uid": "u-1"},
    "spec": {
        "baseModel": {"uri": "s3://models/base", "secretRef": {"name": "models"}},
        "principles": {"builtin": "dromedary-16"},
        "artifacts": {"uri": "s3://runs/a", "endpoint": "http://s3:9000", "sse": "aws:kms"},
        "stages": {
            "evaluation": {
                "gates": ["engraved.hhh.overall >= 0.5"],
                "suites": [{"name": "hhh", "format": "hhh", "uri": "pack://hhh"}],
            }
        },
        "image": {"repository": "registry.test/a/b", "formats": ["server", "modelcar"], "base": "server:1"},
    },
}
OTHER: dict[str, Any] = {
    "spec.artifacts.uri": "s3://runs/b",
    "spec.artifacts.endpoint": "http://other:9000",
    "spec.baseModel.uri": "builtin://hamlet",
    "spec.baseModel.revision": "0" * 40,
    "spec.budget.deadline": "1h",
    "spec.image.formats": ["modelcar"],
    "spec.image.variant": "engraved",
    "spec.image.repository": "registry.test/a/c",
    "spec.principles.builtin": "hamlet",
    "spec.principles.configMapRef.name": "pack",
    "spec.principles.uri": "file:///pack",
    "spec.retries.perStage": 0,
    "spec.podDefaults.template": {"spec": {"nodeSelector": {"a": "b"}}},
    "spec.stages.redTeaming.promptSources": [{"uri": "s3://rows/a.jsonl", "share": 0.2}],
    **{
        f"spec.stages.{stage}.extraRows": [{"uri": "s3://rows/b.jsonl", "share": 0.2}]
        for stage in ("engraving", "cloning.training")
    },
    "spec.stages.evaluation.gates": ["engraved.hhh.overall >= 0.6"],
    "spec.stages.evaluation.suites": [{"name": "hhh", "format": "hhh", "uri": "file:///suite.json"}],
}
"""Another valid value, of fields whose schema does not give one away."""
TEMPLATE = {"spec": {"nodeSelector": {"a": "b"}}}


def leaves(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the fields without fields of their own; lists and maps are one field each."""
    if not schema.get("properties"):
        yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from leaves(inner, f"{path}.{name}")


SPEC = crd.definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
FIELDS = dict(leaves(SPEC, "spec"))


def other_value(path: str, schema: dict[str, Any], now: Any) -> Any:
    """A value that the schema allows and that is not the present one."""
    if path in OTHER:
        return OTHER[path]
    if path.endswith(".template"):
        return TEMPLATE
    if path.endswith((".requests", ".limits")):
        return {"cpu": "3"}
    if schema.get("enum"):
        # The last: an unset field counts as the first one or as a preset's.
        return [value for value in schema["enum"] if value != now][-1]
    match schema["type"]:
        case "boolean":
            return not now
        case "integer" | "number":
            least, most = schema.get("minimum", 0), schema.get("maximum", 1 << 20)
            candidates = [2, 3, 64, 500] if schema["type"] == "integer" else [0.375, 0.75]
            return next(number for number in candidates if least <= number <= most and number != now)
        case "array":
            return ["another"]
        case _:
            return "another"


def put(document: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for name in parents:
        document = document.setdefault(name, {})
    document[last] = value


def value_at(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document


def effect(run: SelfAlignRun) -> str:
    """All Jobs of a run, with their tasks, and what its plan decides about ends, failures and time."""
    jobs = [job_for(run, step.id) for step in graph.steps(run)]
    jobs.append(preflight_job(run, StartPreflight("0" * 64, 1), images=IMAGES, pack=None))
    names = keys(graph.steps(run), leaves=leaf_digests_of(run), seed=run.spec.seed)
    return json.dumps([jobs, names, list(decisions(run))], default=str)


def decisions(run: SelfAlignRun) -> Iterator[Any]:
    """What the plan decides in situations that depend on spec fields which reach no Job."""
    simulated = SimulatedRun(run)
    yield [type(action).__name__ for action in simulated.reconcile().actions]
    if PREFLIGHT in simulated.attempts:
        yield simulated.plan().requeue_at
        simulated.end(PREFLIGHT, 1)
        yield simulated.reconcile().requeue_at


TRAININGS = ("engraving", "cloning.training")
RUN = loading.check(copy.deepcopy(BASE))
assert isinstance(RUN, SelfAlignRun), RUN
BEFORE = effect(RUN)
LATER = {
    "spec.onSpecChange": "test_recorded.py",
    "spec.ttlSecondsAfterFinished": "test_recorded.py",
    "spec.budget.gpuHours": "test_recorded.py",
    "spec.retries.preemptions": "test_usage.py",
    "spec.podDefaults.startDeadline": "test_deadlines.py",
    "spec.podDefaults.progressDeadline": "test_deadlines.py",
}
"""Fields that decide only later in a run, and the file of the tests of what they decide."""
REFUSED = {
    # what one machine alone can read, and what this release trains on
    "spec.principles.uri",
    *(f"spec.stages.{stage}.{field}" for stage in TRAININGS for field in ("gpusPerNode", "nodes")),
    # values that are impossible beside the others of BASE
    "spec.baseModel.revision",
    *(f"spec.stages.{stage}.globalBatchSize" for stage in TRAININGS),
}
"""Fields whose other value is refused here."""


@pytest.mark.parametrize("path", sorted(FIELDS.keys() - LATER.keys()))
def test_a_field_changes_what_is_done_or_is_refused(path: str) -> None:
    assert isinstance(RUN, SelfAlignRun)
    document = copy.deepcopy(BASE)
    now = value_at(RUN.model_dump(mode="json", by_alias=True), path)
    put(document, path, other_value(path, FIELDS[path], now))
    if path.startswith("spec.principles."):
        document["spec"]["principles"].pop("builtin", None)
        put(document, path, other_value(path, FIELDS[path], now))
    changed = loading.check(document)
    refused = not isinstance(changed, SelfAlignRun) or list(
        environments.problems_on_a_cluster(changed, pack_exists=True)
    )
    assert bool(refused) == (path in REFUSED), refused
    if isinstance(changed, SelfAlignRun) and not refused:
        assert effect(changed) != BEFORE, f"{path} = {value_at(document, path)!r} changes nothing"


@pytest.mark.parametrize("path", LATER)
def test_a_field_that_decides_later_has_tests_that_name_it(path: str) -> None:
    assert f"{path.rpartition('.')[2]}" in (Path(__file__).parent / LATER[path]).read_text()
