"""A list entry that occurs twice is refused by its place, and accepted once one of the two is removed."""

from typing import Any

import pytest
from tests.operator.test_every_field import BASE
from tests.operator.test_odd_values import with_value

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.manifest import loading

LISTS: dict[str, Any] = {
    "spec.image.formats": "modelcar",
    "spec.stages.evaluation.gates": "engraved.hhh.overall >= 0.5",
    "spec.stages.evaluation.suites": BASE["spec"]["stages"]["evaluation"]["suites"][0],
    "spec.stages.engraving.targets": "q_proj",
    "spec.stages.cloning.training.targets": "q_proj",
}


@pytest.mark.parametrize(("path", "entry"), LISTS.items())
def test_an_entry_that_is_listed_twice_is_refused_and_once_is_accepted(path: str, entry: Any) -> None:
    loaded = loading.check(with_value(path, [entry, entry]))
    assert isinstance(loaded, list)
    (problem,) = loaded
    assert problem.field.startswith(f"{path}[1]") and "of them" in problem.message
    assert isinstance(loading.check(with_value(path, [entry])), SelfAlignRun)
