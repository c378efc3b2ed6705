"""Splits a pack into the parts that step kinds read, so that an edit recomputes what it can change and nothing else.

The digest of a part is in the keys of the steps that read it. A new identity answer, for example, retrains the model
but leaves all generated prompts and answers valid. A step gets a Pack with the fields of its part alone; all others are
missing, not empty. If they were there, a step could read a field that its key does not cover, and an edit of that field
would silently go on using old artifacts.
"""

from typing import Any

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.graph import KINDS, PACK
from selfalign_stages.contract.model import canonical_json, sha256_digest
from selfalign_stages.contract.task import Task
from selfalign_stages.pack.loading import load
from selfalign_stages.pack.model import Frames, Header, Pack

# Building blocks of FIELDS: demonstrations of red-teaming and their language; what fills {knowledgeCutoff}; the
# self-align prompt with what the leak filter needs; the same with the verbose prompt.
_QUERIES = ("question_types", "seed_tasks", "header.language")
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
"""Fields of Pack by leaf name. Every part also has the pack's name, for messages, and its suites, which are leaves of
their own; neither is in the digest of a part."""


def read(task: Task) -> Pack:
    """Loads the part of the pack that a step reads.

    Args:
        task: the step; its kind determines the part, its leaf where the pack is and which digest it must have.

    Raises:
        BadInput: the pack has mistakes, or the part differs from what preflight read. Its key would not fit then.
    """
    name = KINDS[task.kind].pack
    assert name is not None, f"{task.kind} reads no pack"
    leaf = task.leaves[name]
    own_part = part(load(leaf.uri), name)
    if leaf.digest and leaf.digest != own_part.digest:
        raise BadInput(f"spec.principles {leaf.uri!r}: was edited since preflight; run again", reason="LeafChanged")
    return own_part


def digests(pack: Pack) -> dict[str, str]:
    """Returns the content digest of every leaf of a pack, by leaf name: of the whole and of all parts."""
    return {PACK: pack.digest} | {name: part(pack, name).digest for name in FIELDS}


def part(pack: Pack, name: str) -> Pack:
    """Cuts a part out of a pack.

    Args:
        pack: a whole pack.
        name: leaf of the part, a key of FIELDS; PACK returns the whole pack.

    Returns:
        A Pack in which only the part's fields exist; reading another one raises AttributeError. `digest` covers the
        values of these fields.
    """
    if name == PACK:
        return pack
    if name == f"{PACK}:queries":
        pack = _without_limits(pack)
    within = {field: _value(pack, field) for field in FIELDS[name]}
    top = {field: value for field, value in within.items() if "." not in field}
    header = {"name": pack.header.name} | _under("header", within)
    # model_construct skips validation, which would refuse a pack without its required fields.
    partial = Pack.model_construct(
        **top,
        header=Header.model_construct(**header),
        frames=Frames.model_construct(**_under("frames", within)),
        suites=pack.suites,
        digest=sha256_digest(canonical_json({field: _to_json(value) for field, value in within.items()})),
    )
    for optional in {"identity"} - top.keys():
        del partial.__dict__[optional]  # model_construct sets the default, which would read as an empty identity
    return partial


def _without_limits(pack: Pack) -> Pack:
    """Red-teaming shows of a type neither limit nor rules nor answer: an edit of them keeps the prompts."""
    kinds = tuple(
        kind.model_copy(update={"limit": "open", "rules": (), "answer": None}) for kind in pack.question_types
    )
    tasks = tuple(task.model_copy(update={"limit": "open"}) for task in pack.seed_tasks)
    return pack.model_copy(update={"question_types": kinds, "seed_tasks": tasks})


def _value(pack: Pack, field: str) -> Any:
    value: Any = pack
    for name in field.split("."):
        value = getattr(value, name)
    return value


def _under(parent: str, within: dict[str, Any]) -> dict[str, Any]:
    return {field.removeprefix(f"{parent}."): value for field, value in within.items() if field.startswith(parent)}


def _to_json(value: Any) -> Any:
    return value if isinstance(value, str) else [item.to_dict() for item in value]
