"""Keys of the examples stay what they were: a release that changes one by accident recomputes what users have."""

import json
from pathlib import Path

import pytest

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.manifest.loading import load
from selfalign_operator.planning import graph
from selfalign_stages.contract.graph import keys
from selfalign_stages.contract.model import sha256_digest

GOLDEN = Path(__file__).with_name("golden") / "example-keys.json"
EXPECTED: dict[str, dict[str, str]] = json.loads(GOLDEN.read_text())
EXAMPLES = Path(__file__).parents[2] / "examples"
PREFIX = 16
"""Hexadecimal digits of a key that are compared."""


@pytest.mark.parametrize("name", EXPECTED)
def test_the_keys_of_an_example_do_not_change(name: str) -> None:
    """A deliberate change raises the step's version (contract.graph.KINDS) and writes the file anew."""
    run = load((EXAMPLES / f"{name}.yaml").read_text())
    assert isinstance(run, SelfAlignRun)
    steps = graph.steps(run)
    leaves = {leaf: sha256_digest(leaf.encode()) for step in steps for leaf in step.leaves}
    found = keys(steps, leaves=leaves, seed=run.spec.seed)
    assert {id_: key[:PREFIX] for id_, key in found.items()} == EXPECTED[name]


def test_every_example_run_is_compared() -> None:
    assert set(EXPECTED) == {path.stem for path in EXAMPLES.glob("*.yaml")}
