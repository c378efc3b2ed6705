"""docs/conditions.md lists every reason that a condition may have, and the tests that it names exist."""

import re

from tests.operator import condition_reasons
from tests.operator.condition_reasons import ROOT

TEXT = (ROOT / "docs/conditions.md").read_text()


def listed(section: str) -> set[str]:
    """Reasons in the first column of the tables of a section."""
    body = TEXT.partition(f"## {section}")[2].partition("\n## ")[0]
    firsts = (line.split("|")[1] for line in body.splitlines() if line.startswith("| `"))
    return {name for first in firsts for name in re.findall(r"`(\w+)`", first)}


def test_every_reason_of_the_operator_is_explained_and_no_other() -> None:
    assert listed("Reasons of the operator") == condition_reasons.of_operator()


def test_the_table_of_the_stages_reasons_is_the_generated_one() -> None:
    """To regenerate it: python -m tests.operator.condition_reasons."""
    assert condition_reasons.table() in TEXT


def test_every_test_that_the_document_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)
    assert len(named) > 30
    missing = [name for path, name in named if f"def {name}(" not in (ROOT / path).read_text()]
    assert missing == []
