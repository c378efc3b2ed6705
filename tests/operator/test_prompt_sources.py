"""Prompts of one's own in a manifest: what they leave to generation, which pods read them, and what is refused."""

from typing import Any

import pytest
import yaml
from tests.operator.builders import leaf_digests, manifest, run
from tests.operator.test_jobs import job_for, mounted_secrets, on_cluster, stage_of

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.manifest import environments
from selfalign_operator.manifest.loading import load
from selfalign_operator.planning import graph, run_state
from selfalign_stages.contract.graph import keys

FIELD = "spec.stages.redTeaming.promptSources"
COMMIT = "0" * 40


def source(share: float, uri: str = "s3://rows/a.jsonl", **more: Any) -> dict[str, Any]:
    return {"uri": uri, "share": share, **more}


def stages(*sources: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {"redTeaming": {"promptSources": list(sources), **settings}}


def parameters(*sources: dict[str, Any], **settings: Any) -> dict[str, dict[str, Any]]:
    """Parameters by step of stage 1."""
    steps = graph.steps(run(stages=stages(*sources, **settings)))
    return {step.id: step.resolved() for step in steps if step.stage == "redTeaming"}


def problems(*sources: dict[str, Any], **settings: Any) -> dict[str, str]:
    loaded = load(yaml.safe_dump(manifest(stages=stages(*sources, **settings))))
    return {} if isinstance(loaded, SelfAlignRun) else {problem.field: problem.message for problem in loaded}


def keys_of(one: SelfAlignRun) -> dict[str, str]:
    return keys(graph.steps(one), leaves=leaf_digests(one), seed=one.spec.seed)


def test_no_files_leave_all_keys_as_they_are() -> None:
    assert keys_of(run(stages=stages())) == keys_of(run())
    assert "ownPrompts" not in parameters()["redteaming-prompts"]


def test_generation_shrinks_by_the_shares() -> None:
    settings = {"prompts": 1000, "topicGuidedShare": 0.25, "questionsPerTopic": 10}
    assert parameters(**settings)["redteaming-instructions"]["instructions"] == 750
    own = parameters(source(0.29), source(0.2), **settings)
    assert own["redteaming-prompts"]["ownPrompts"] == [290, 200]
    assert own["redteaming-instructions"]["instructions"] == 383  # (1000 - 490) x 0.75, rounded up
    assert own["redteaming-questions"]["questionsPerTopic"] == 6
    assert own["redteaming-topics"] == parameters(**settings)["redteaming-topics"]


@pytest.mark.parametrize("shares", [(1,), (0.5, 0.5), (0.56, 0.33, 0.11), (0.333333333, 0.333333333, 0.333333333)])
def test_shares_of_one_leave_nothing_to_generate(shares: tuple[float, ...]) -> None:
    one = run(stages=stages(*map(source, shares), prompts=100))
    by_id = {step.id: step for step in graph.steps(one)}
    assert [id_ for id_ in by_id if id_.startswith("redteaming")] == ["redteaming-prompts"]
    assert by_id["redteaming-prompts"].inputs == {}
    assert by_id["selfalign-answers"].inputs["prompts"] == "redteaming-prompts"


def test_a_share_changes_generation_and_an_address_nothing_but_preflight() -> None:
    before, moved, more = (
        run(stages=stages(one)) for one in (source(0.2), source(0.2, "s3://rows/b.jsonl"), source(0.3))
    )
    assert keys_of(before) == keys_of(moved)
    assert keys_of(before)["redteaming-instructions"] != keys_of(more)["redteaming-instructions"]
    assert run_state.preflight_key(before, graph.steps(before)) != run_state.preflight_key(moved, graph.steps(moved))


def test_only_step_prompts_reads_the_files() -> None:
    one = run(stages=stages(source(0.2), source(0.2, "hf://datasets/o/n/a.jsonl", revision=COMMIT)))
    readers = {step.id for step in graph.steps(one) if "promptSource:1" in step.leaves}
    assert readers == {"redteaming-prompts"}
    leaf = graph.leaves(one)["promptSource:1"]
    assert (leaf.uri, leaf.revision) == ("hf://datasets/o/n/a.jsonl", COMMIT)


def test_the_secret_of_a_file_reaches_the_pods_that_read_it() -> None:
    base = {"uri": "s3://m/x", "secretRef": {"name": "models"}}
    one = on_cluster(
        baseModel=base, stages=stages(source(0.2), source(0.2, "s3://rows/b.jsonl", secretRef={"name": "rows"}))
    )
    job = job_for(one, "redteaming-prompts")
    assert stage_of(job)["envFrom"] == [
        {"secretRef": {"name": "s3"}},
        {"prefix": "PROMPT_SOURCE_1_", "secretRef": {"name": "rows"}},
    ]
    assert mounted_secrets(job) == {
        "/etc/selfalign/credentials/artifacts": ("s3", True),
        "/etc/selfalign/credentials/prompt-source-1": ("rows", True),
    }
    for id_ in ("import", "redteaming-instructions", "selfalign-answers"):
        assert "/etc/selfalign/credentials/prompt-source-1" not in mounted_secrets(job_for(one, id_))


@pytest.mark.parametrize(
    ("one", "field", "message"),
    [
        (source(0.2, "s3://rows/a.csv"), "uri", "is neither JSON lines nor Parquet by its name"),
        (source(0.2, "https://rows/a.jsonl"), "uri", ""),
        (source(0.2, "hf://datasets/o/n/a.jsonl"), "revision", "hf:// needs revision"),
        (source(0.2, revision=COMMIT), "revision", "revision applies to hf:// only"),
        (source(0.001), "share", "is less than one prompt of 100: raise it, or raise prompts"),
        (source(0), "share", ""),
        (source(1.5), "share", ""),
        ({"uri": "s3://rows/a.jsonl"}, "share", ""),
    ],
)
def test_a_wrong_file_is_refused_by_its_place_in_the_list(one: dict[str, Any], field: str, message: str) -> None:
    found = problems(source(0.1), one, prompts=100)
    assert list(found) == [f"{FIELD}[1].{field}"] and message in found[f"{FIELD}[1].{field}"]


def test_shares_above_one_are_refused() -> None:
    assert problems(source(0.6), source(0.5)) == {
        FIELD: "the shares of promptSources add up to more than 1: lower some, or remove a source"
    }
    assert problems(*(source(0.125) for _ in range(8))) == {}


def test_a_cluster_refuses_files_of_one_machine() -> None:
    one = on_cluster(stages=stages(source(0.1), source(0.1, "file://mine.jsonl")), image={"repository": "r.test/a"})
    (problem,) = environments.problems_on_a_cluster(one, pack_exists=True)
    assert (problem.field, problem.value) == (f"{FIELD}[1].uri", "file://mine.jsonl")
    assert "use s3:// or hf://" in problem.message


def test_a_secret_without_effect_on_one_machine_is_noted() -> None:
    one = run(stages=stages(source(0.1), source(0.1, secretRef={"name": "rows"})))
    (line,) = environments.ignored_on_one_machine(one)
    assert line.startswith(f"{FIELD}[1].secretRef does not apply: credentials come from the environment")
