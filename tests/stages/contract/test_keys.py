"""Keys cover everything that an artifact depends on, and nothing else."""

from typing import Any

from selfalign_stages.contract import graph
from selfalign_stages.contract.graph import Step
from selfalign_stages.contract.parameters import ImportParameters, Sampling, TopicsParameters

LEAVES = {"baseModel": "sha256:b", "pack:queries": "sha256:p"}


def steps(**changes: Any) -> tuple[Step, ...]:
    sampling = Sampling(**({"temperature": 1.0, "max_tokens": 8} | changes))
    return (
        Step(id="import", stage="import", kind="import", parameters=ImportParameters(), leaves=("baseModel",)),
        Step(
            id="topics",
            stage="redTeaming",
            kind="topics",
            parameters=TopicsParameters(topics_per_type=3, rounds=1, sampling=sampling),
            inputs={"baseModel": "import"},
            leaves=("pack:queries",),
        ),
    )


def keys(graph_steps: tuple[Step, ...], *, seed: int = 1, **leaves: str) -> dict[str, str]:
    return graph.keys(graph_steps, leaves=LEAVES | leaves, seed=seed)


def test_keys_are_stable_across_releases() -> None:
    assert {name: key[:12] for name, key in keys(steps()).items()} == {
        "import": "ca26bfdf4864",
        "topics": "913b1ab4e0ac",
    }


def test_a_filter_that_is_off_is_in_no_key() -> None:
    assert keys(steps(top_k=0, min_p=0.0)) == keys(steps())
    assert len({keys(steps(**on))["topics"] for on in ({}, {"top_k": 40}, {"min_p": 0.05})}) == 3


def test_a_parameter_changes_its_own_step_alone() -> None:
    before, after = keys(steps()), keys(steps(max_tokens=9))
    assert before["import"] == after["import"]
    assert before["topics"] != after["topics"]


def test_a_leaf_changes_all_steps_that_depend_on_it() -> None:
    before, after = keys(steps()), keys(steps(), baseModel="sha256:c")
    assert before["import"] != after["import"]
    assert before["topics"] != after["topics"]


def test_the_seed_changes_only_steps_that_draw() -> None:
    before, after = keys(steps()), keys(steps(), seed=2)
    assert before["import"] == after["import"]
    assert before["topics"] != after["topics"]


def test_a_step_read_back_from_json_has_the_same_key() -> None:
    read = tuple(Step.model_validate_json(step.model_dump_json(by_alias=True)) for step in steps())
    assert keys(read) == keys(steps())
