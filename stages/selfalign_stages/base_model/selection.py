"""Which files of a base model are needed. Pure. Whatever is not named here is neither read nor downloaded."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selfalign_stages.base_model.sources import SourceFile

CONFIG, INDEX, WEIGHTS, README = "config.json", "model.safetensors.index.json", "model.safetensors", "README.md"
TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
SMALL = frozenset({CONFIG, TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS, INDEX, README})
"""Files whose content is checked before anything is imported."""
PARTS = SMALL - {README, INDEX} | {
    "generation_config.json",
    "added_tokens.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
}
DOCUMENT = re.compile(r"(LICEN[CS]E|NOTICE|USE_POLICY)[^/]*|README\.md", re.IGNORECASE)


@dataclass(frozen=True)
class Selection:
    """What the model is made of, and `documents` (licence, card) that come along without changing what it is."""

    parts: tuple[SourceFile, ...]
    documents: tuple[SourceFile, ...]


def select(listing: Sequence[SourceFile], *, weight_map: Mapping[str, str]) -> Selection:
    """The needed files; weights are the index's shards, or model.safetensors where there is no index."""
    names = PARTS | (set(weight_map.values()) | {INDEX} if weight_map else {WEIGHTS})
    return Selection(
        parts=tuple(file for file in listing if file.path in names),
        documents=tuple(file for file in listing if DOCUMENT.fullmatch(file.path)),
    )


def weight_map(index: bytes | None) -> dict[str, str]:
    """Shard names by tensor; empty where there is no index. ValueError tells what is wrong with it."""
    if index is None:
        return {}
    loaded = json.loads(index)
    found = loaded.get("weight_map") if isinstance(loaded, dict) else None
    if not isinstance(found, dict) or not found or not all(isinstance(shard, str) for shard in found.values()):
        raise ValueError("has no weight_map of tensor names to shards")
    return found
