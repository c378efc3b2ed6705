"""Splits a pack into what each step kind reads, so that an edit retrains what it can change and nothing else.

A step sees its own part alone: what is not in it, and therefore not in its key, is not there at all.
"""

from typing import Any

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.graph import KINDS, PACK
from selfalign_stages.contract.model import canonical_json, sha256_digest
from selfalign_stages.contract.task import Task
from selfalign_stages.pack.loading import load
from selfalign_stages.pack.model import Frames, Header, Pack

_QUERIES = ("question_types", "seed_tasks")
_FILLED = ("header.knowledge_cutoff",)
_RULES = ("principles", "exemplars", "frames.introduction", "frames.examples", *_QUERIES, *_FILLED)
_VERBOSE = (*_RULES, "frames.verbose", "frames.verbose_name")
FIELDS: dict[str, tuple[str, ...]] = {
    f"{PACK}:queries": (*_QUERIES, "frames.self_instruct", "frames.topics", "frames.questions"),
    f"{PACK}:rules": _RULES,
    f"{PACK}:verbose": _VERBOSE,
    f"{PACK}:judging": (*_VERBOSE, "frames.choice"),
    f"{PACK}:identity": ("identity", *_FILLED),
}
"""Fields of Pack by leaf name; evaluation suites are leaves of their own, and the name is for messages."""


def read(task: Task) -> Pack:
    """The part of the pack that a task's kind reads, as it was when preflight took its digest."""
    name = KINDS[task.kind].pack
    assert name is not None, f"{task.kind} reads no pack"
    leaf = task.leaves[name]
    found = part(load(leaf.uri), name)
    if leaf.digest and leaf.digest != found.digest:
        raise BadInput(f"spec.principles {leaf.uri!r}: was edited since preflight; run again", reason="LeafChanged")
    return found


def digests(pack: Pack) -> dict[str, str]:
    """Digests by leaf name, of the parts and of the whole."""
    return {PACK: pack.digest} | {name: part(pack, name).digest for name in FIELDS}


def part(pack: Pack, name: str) -> Pack:
    """`pack` without the fields outside a part; its digest is that of the values within."""
    if name == PACK:
        return pack
    within = {field: _value(pack, field) for field in FIELDS[name]}
    top = {field: value for field, value in within.items() if "." not in field}
    header = {"name": pack.header.name} | _under("header", within)
    found = Pack.model_construct(
        **top,
        header=Header.model_construct(**header),
        frames=Frames.model_construct(**_under("frames", within)),
        suites=pack.suites,
        digest=sha256_digest(canonical_json({field: _plain(value) for field, value in within.items()})),
    )
    for default in {"identity"} - top.keys():
        del found.__dict__[default]  # an optional field would read as empty where it has to be missing
    return found


def _value(pack: Pack, field: str) -> Any:
    found: Any = pack
    for name in field.split("."):
        found = getattr(found, name)
    return found


def _under(parent: str, within: dict[str, Any]) -> dict[str, Any]:
    return {field.removeprefix(f"{parent}."): value for field, value in within.items() if field.startswith(parent)}


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else [item.to_dict() for item in value]
