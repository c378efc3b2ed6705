"""A step gets the part of the pack that its key covers, and an edit changes the parts that contain it."""

from pathlib import Path
from typing import Any

import pytest
from tests.steps_support import context

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.graph import KINDS
from selfalign_stages.contract.task import Leaf
from selfalign_stages.pack import loading, parts
from selfalign_stages.pack.model import Pack

FILES = loading.read("builtin://hamlet")
PACK = loading.parse(FILES, place="hamlet")


def edited(name: str, old: str, new: str) -> Pack:
    assert old in FILES[name]
    return loading.parse(FILES | {name: FILES[name].replace(old, new, 1)}, place="edited")


def changed(pack: Pack) -> set[str]:
    before = parts.digests(PACK)
    return {name.removeprefix("pack:") for name, digest in parts.digests(pack).items() if digest != before[name]}


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("principles.yaml", "true facts", "proven facts", {"pack", "rules", "verbose", "judging"}),
        ("identity.yaml", "Who are you?", "Who might you be?", {"pack", "identity"}),
        ("prompts.yaml", "at length:", "at great length:", {"pack", "verbose", "judging"}),
        ("prompts.yaml", "choice: ", "choice: Now. ", {"pack", "judging"}),
        ("prompts.yaml", "topics: ", "topics: Now. ", {"pack", "queries"}),
        ("pack.yaml", "license: ", "# a remark\nlicense: ", {"pack"}),
    ],
)
def test_an_edit_changes_the_parts_that_contain_it_alone(name: str, old: str, new: str, expected: set[str]) -> None:
    assert changed(edited(name, old, new)) == expected


def test_every_kind_that_reads_the_pack_has_its_part() -> None:
    assert {info.pack for info in KINDS.values() if info.pack} == parts.digests(PACK).keys()


@pytest.mark.parametrize("name", parts.FIELDS)
def test_what_is_outside_a_part_is_not_there(name: str) -> None:
    part: Any = parts.part(PACK, name)
    top = {field.partition(".")[0] for field in parts.FIELDS[name]}
    for field in {"principles", "exemplars", "identity", "question_types", "seed_tasks"} - top:
        with pytest.raises(AttributeError):
            getattr(part, field)
    if "header.knowledge_cutoff" not in parts.FIELDS[name]:
        with pytest.raises(AttributeError):
            _ = part.header.knowledge_cutoff


def test_a_pack_that_was_edited_since_preflight_is_refused(tmp_path: Path) -> None:
    made = context(tmp_path, "train", leaves={"pack:identity": "builtin://hamlet"})
    stale = Leaf(uri="builtin://hamlet", digest="sha256:before")
    with pytest.raises(BadInput, match="was edited since preflight"):
        parts.read(made.task.model_copy(update={"leaves": {"pack:identity": stale}}))
    known = Leaf(uri="builtin://hamlet", digest=parts.digests(PACK)["pack:identity"])
    assert parts.read(made.task.model_copy(update={"leaves": {"pack:identity": known}})).identity == PACK.identity
