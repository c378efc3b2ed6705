"""The steps of a run and what their keys depend on."""

from typing import Any

import pytest
from tests.operator.builders import leaf_digests, manifest, run

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.planning import graph
from selfalign_stages.contract.graph import KINDS, keys


def keys_of(one: SelfAlignRun) -> dict[str, str]:
    return keys(graph.steps(one), leaves=leaf_digests(one), seed=one.spec.seed)


def changed(**spec: Any) -> set[str]:
    """The steps whose keys differ from those of the default run."""
    before, after = keys_of(run()), keys_of(run(**spec))
    return {id_ for id_ in before | after if before.get(id_) != after.get(id_)}


def test_steps_come_after_their_inputs_and_have_known_leaves() -> None:
    one, earlier = run(), set[str]()
    for step in graph.steps(one):
        assert set(step.inputs.values()) <= earlier, step.id
        assert set(step.leaves) <= set(graph.leaves(one)), step.id
        assert isinstance(step.parameters, KINDS[step.kind].parameters), step.id
        earlier.add(step.id)
    assert "packaging-image" in earlier


def test_the_student_of_both_trainings_is_the_base_model() -> None:
    by_id = {step.id: step for step in graph.steps(run())}
    for id_ in ("engraving-train", "engraving-merge", "cloning-train", "cloning-merge"):
        assert by_id[id_].inputs["baseModel"] == "import"
    assert by_id["cloning-answers"].inputs == {"teacher": "engraving-merge", "prompts": "redteaming-prompts"}


def test_without_cloning_the_engraved_model_is_evaluated_and_packed() -> None:
    one = run(stages={"cloning": {"enabled": False}})
    by_id = {step.id: step for step in graph.steps(one)}
    assert not [id_ for id_ in by_id if "clon" in id_]
    assert set(by_id["evaluation-gate"].inputs) == {"base", "prompted", "engraved"}
    assert by_id["packaging-image"].inputs["model"] == "engraving-merge"


def test_placement_retries_and_budget_change_no_key() -> None:
    stages: dict[str, Any] = {
        "selfAlign": {"workers": 8, "resources": {"limits": {"nvidia.com/gpu": 1}}, "template": {"spec": {}}},
        "engraving": {"nodes": 2, "gpusPerNode": 8},
    }
    settings = {"retries": {"perStage": 0}, "budget": {"deadline": "2h"}, "queueName": "team-a"}
    assert changed(stages=stages, **settings) == set()


def test_verbose_settings_change_cloning_and_its_dependents_alone() -> None:
    steps = changed(stages={"cloning": {"generation": {"maxTokens": 99}}})
    assert steps == {
        "cloning-answers",
        "cloning-train",
        "cloning-merge",
        "evaluation-score-cloned",
        "evaluation-gate",
        "packaging-image",
    }


def test_deterministic_red_teaming_reaches_every_step_that_generates() -> None:
    steps = graph.steps(run(stages={"redTeaming": {"deterministic": True}}))
    flags = {step.id: step.resolved().get("deterministic") for step in steps if step.stage == "redTeaming"}
    assert flags == {
        "redteaming-topics": True,
        "redteaming-questions": True,
        "redteaming-instructions": True,
        "redteaming-prompts": None,
    }


def test_a_gate_changes_nothing_before_the_gate_step() -> None:
    steps = changed(stages={"evaluation": {"gates": ["engraved.hhh.overall >= 0.5"]}})
    assert steps == {"evaluation-gate", "packaging-image"}


def test_the_seed_changes_everything_but_the_import() -> None:
    assert set(keys_of(run())) - changed(seed=1) == {"import"}


def test_the_paper_preset_is_kept_by_name_and_fields_override_it() -> None:
    by_id = {
        step.id: step.resolved()
        for step in graph.steps(
            run(stages={"engraving": {"preset": "paper", "rank": 8}, "cloning": {"enabled": False}})
        )
    }
    train = by_id["engraving-train"]
    assert (train["rank"], train["alpha"], train["learningRate"], train["globalBatchSize"]) == (8, 16, 4e-4, 768)
    assert train["targets"] == ["q_proj", "k_proj", "v_proj", "o_proj"]


def test_cloning_takes_longer_rows_under_the_paper_preset() -> None:
    one = run(stages={"engraving": {"preset": "paper"}, "cloning": {"training": {"preset": "paper"}}})
    lengths = {step.id: step.resolved().get("maxLength") for step in graph.steps(one)}
    assert (lengths["engraving-train"], lengths["cloning-train"]) == (512, 768)


def test_validation_is_in_the_keys_of_trainings_that_have_it_alone() -> None:
    assert changed(stages={"engraving": {"validationShare": 0}}) == set()
    touched = changed(stages={"cloning": {"training": {"validationShare": 0.05}}})
    assert "cloning-train" in touched and not {"engraving-train", "cloning-answers"} & touched


def test_thoughts_are_in_the_keys_of_the_engraved_model_and_of_what_it_writes_alone() -> None:
    assert changed(stages={"engraving": {"thoughts": False}}) == set()
    one = run(stages={"engraving": {"thoughts": True}})
    assert {step.id for step in graph.steps(one) if "thoughts" in step.resolved()} == {
        "engraving-train",
        "cloning-answers",
        "evaluation-score-engraved",
    }
    before, after = keys_of(run()), keys_of(one)
    same = {id_ for id_ in before if before[id_] == after[id_]}
    assert {"selfalign-answers", "selfalign-check", "evaluation-score-base", "evaluation-score-prompted"} < same
    # Cloning trains on other answers, without a thought in them.
    assert {"engraving-train", "engraving-merge", "cloning-answers", "cloning-train"}.isdisjoint(same)


@pytest.mark.parametrize(("variant", "says"), [("engraved", True), ("cloned", None)])
def test_the_card_mentions_thoughts_of_the_engraved_model_alone(variant: str, says: bool | None) -> None:
    steps = graph.steps(run(stages={"engraving": {"thoughts": True}}, image={"variant": variant}))
    (image,) = (step.resolved() for step in steps if step.kind == "image")
    assert image.get("thoughts") is says


def test_full_fine_tuning_does_not_take_the_adapters_learning_rate() -> None:
    one = run(stages={"engraving": {"method": "full"}})
    rates = {step.id: step.resolved()["learningRate"] for step in graph.steps(one) if step.kind == "train"}
    assert rates["engraving-train"] < rates["cloning-train"]


def test_a_config_map_pack_needs_its_mount_path() -> None:
    one = run(principles={"configMapRef": {"name": "mine"}})
    with pytest.raises(ValueError, match="mounted"):
        graph.leaves(one)
    assert graph.leaves(one, pack_uri="file:///pack")["pack"].uri == "file:///pack"


def test_unknown_metadata_fields_are_tolerated() -> None:
    document = manifest()
    document["metadata"] |= {"resourceVersion": "7", "managedFields": [{}]}
    assert SelfAlignRun.model_validate(document).metadata.name == "trial"
