"""Training rows of one's own in a manifest: which keys they change, which pods read them, and what is refused."""

from typing import Any

import pytest
import yaml
from tests.operator.builders import leaf_digests, manifest, run
from tests.operator.test_jobs import job_for, mounted_secrets, on_cluster, stage_of

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.manifest import environments
from selfalign_operator.manifest.loading import load
from selfalign_operator.planning import graph, run_state
from selfalign_stages.contract.graph import SUITE_PREFIX, keys

ENGRAVING, CLONING = "spec.stages.engraving.extraRows", "spec.stages.cloning.training.extraRows"
COMMIT = "0" * 40


def file(share: float, uri: str = "s3://rows/a.jsonl", **more: Any) -> dict[str, Any]:
    return {"uri": uri, "share": share, **more}


def engraving(*files: dict[str, Any]) -> dict[str, Any]:
    return {"engraving": {"extraRows": list(files)}}


def cloning(*files: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {"cloning": {"training": {"extraRows": list(files)}, **settings}}


def keys_of(one: SelfAlignRun, **digests: str) -> dict[str, str]:
    return keys(graph.steps(one), leaves=leaf_digests(one) | digests, seed=one.spec.seed)


def problems(*files: dict[str, Any]) -> dict[str, str]:
    loaded = load(yaml.safe_dump(manifest(stages=engraving(*files))))
    return {} if isinstance(loaded, SelfAlignRun) else {problem.field: problem.message for problem in loaded}


def test_no_files_leave_all_keys_as_they_are() -> None:
    assert keys_of(run(stages=engraving())) == keys_of(run())
    train = next(step for step in graph.steps(run()) if step.id == "engraving-train")
    assert "extraRows" not in train.resolved() and not [leaf for leaf in train.leaves if leaf.startswith(SUITE_PREFIX)]


def test_a_changed_file_trains_again_and_changes_nothing_before() -> None:
    one = run(stages=engraving(file(0.2)))
    before, after = keys_of(one), keys_of(one, **{"extraRows:engraving:0": "sha256:other"})
    changed = {id_ for id_ in before if before[id_] != after[id_]}
    assert {"engraving-train", "engraving-merge", "cloning-answers", "packaging-image"} <= changed
    earlier = [step.id for step in graph.steps(one) if step.stage in ("import", "redTeaming", "selfAlign")]
    assert not {*earlier, "evaluation-score-base", "evaluation-score-prompted"} & changed


def test_a_share_trains_again_and_an_address_repeats_preflight_alone() -> None:
    before, moved, more = (run(stages=engraving(one)) for one in (file(0.2), file(0.2, "s3://rows/b.jsonl"), file(0.3)))
    assert keys_of(before) == keys_of(moved)
    assert keys_of(before)["engraving-train"] != keys_of(more)["engraving-train"]
    assert run_state.preflight_key(before, graph.steps(before)) != run_state.preflight_key(moved, graph.steps(moved))


def test_each_training_reads_its_own_files_and_the_suites_beside_them() -> None:
    one = run(stages=engraving(file(0.2)) | cloning(file(0.1), file(0.2, "hf://datasets/o/n/a.jsonl", revision=COMMIT)))
    leaves = {step.id: step.leaves for step in graph.steps(one)}
    own = {id_: [name for name in names if name.startswith("extraRows:")] for id_, names in leaves.items()}
    assert {id_: names for id_, names in own.items() if names} == {
        "engraving-train": ["extraRows:engraving:0"],
        "cloning-train": ["extraRows:cloning:0", "extraRows:cloning:1"],
    }
    suites = {f"{SUITE_PREFIX}{suite.name}" for suite in graph.suites(one)}
    assert suites and suites <= set(leaves["engraving-train"])
    leaf = graph.leaves(one)["extraRows:cloning:1"]
    assert (leaf.uri, leaf.revision) == ("hf://datasets/o/n/a.jsonl", COMMIT)


@pytest.mark.parametrize(
    ("stages", "share"),
    [
        ({}, None),
        (engraving(file(0.2), file(0.1)) | cloning(file(0.25)), 0.3),
        (engraving(file(0.2), file(0.1)) | cloning(enabled=False), 0.3),
        (engraving(file(0.1)) | cloning(file(0.25)), 0.25),
    ],
)
def test_the_card_gets_the_largest_share_of_a_training_behind_the_model(
    stages: dict[str, Any], share: float | None
) -> None:
    image = next(step for step in graph.steps(run(stages=stages)) if step.kind == "image")
    assert image.resolved().get("extraRows") == share


def test_the_card_of_an_engraved_model_ignores_the_rows_of_cloning() -> None:
    one = run(stages=cloning(file(0.25)), image={"variant": "engraved"})
    image = next(step for step in graph.steps(one) if step.kind == "image")
    assert "extraRows" not in image.resolved()


def test_files_of_a_disabled_stage_are_not_read() -> None:
    assert graph.extra_rows(run(stages=cloning(file(0.2), enabled=False))) == {}


def test_the_secret_of_a_file_reaches_the_pods_that_read_it() -> None:
    one = on_cluster(stages=cloning(file(0.2, secretRef={"name": "rows"})))
    job = job_for(one, "cloning-train")
    assert {"prefix": "EXTRA_ROWS_CLONING_0_", "secretRef": {"name": "rows"}} in stage_of(job)["envFrom"]
    assert "/etc/selfalign/credentials/extra-rows-cloning-0" in mounted_secrets(job)
    for id_ in ("import", "engraving-train", "cloning-answers"):
        assert "/etc/selfalign/credentials/extra-rows-cloning-0" not in mounted_secrets(job_for(one, id_))


@pytest.mark.parametrize(
    ("one", "field", "message"),
    [
        (file(0.2, "s3://rows/a.csv"), "uri", "is neither JSON lines nor Parquet by its name"),
        (file(0.2, "https://rows/a.jsonl"), "uri", ""),
        (file(0.2, "hf://datasets/o/n/a.jsonl"), "revision", "hf:// needs revision"),
        (file(0.2, revision=COMMIT), "revision", "revision applies to hf:// only"),
        (file(0), "share", ""),
        (file(1), "share", ""),
        ({"uri": "s3://rows/a.jsonl"}, "share", ""),
    ],
)
def test_a_wrong_file_is_refused_by_its_place_in_the_list(one: dict[str, Any], field: str, message: str) -> None:
    found = problems(file(0.1), one)
    assert list(found) == [f"{ENGRAVING}[1].{field}"] and message in found[f"{ENGRAVING}[1].{field}"]


def test_shares_that_leave_nothing_to_answers_are_refused() -> None:
    assert "must add up to less than 1" in problems(file(0.7), file(0.3))[ENGRAVING]
    assert problems(file(0.7), file(0.29)) == {}


def test_a_cluster_refuses_files_of_one_machine() -> None:
    one = on_cluster(stages=cloning(file(0.1, "file://mine.jsonl")), image={"repository": "r.test/a"})
    (problem,) = environments.problems_on_a_cluster(one, pack_exists=True)
    assert (problem.field, problem.value) == (f"{CLONING}[0].uri", "file://mine.jsonl")


def test_a_secret_without_effect_on_one_machine_is_noted() -> None:
    one = run(stages=engraving(file(0.1), file(0.1, secretRef={"name": "rows"})))
    (line,) = environments.ignored_on_one_machine(one)
    assert line.startswith(f"{ENGRAVING}[1].secretRef does not apply: credentials come from the environment")
