"""Which files of a base model are needed. Pure; everything else is never downloaded, pickled weights above all."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from selfalign_stages.base.source import SourceFile

CONFIG, INDEX, SINGLE = "config.json", "model.safetensors.index.json", "model.safetensors"
TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
SMALL = (
    CONFIG,
    "generation_config.json",
    TOKENIZER,
    TOKENIZER_CONFIG,
    SPECIAL_TOKENS,
    "added_tokens.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)
DOCUMENT = re.compile(r"(LICEN[CS]E|NOTICE|USE_POLICY)[^/]*", re.IGNORECASE)
README = "README.md"


@dataclass(frozen=True)
class Selection:
    """`small` files and `weights` make the leaf's digest; `documents` (licences) come along without changing it."""

    small: tuple[SourceFile, ...]
    weights: tuple[SourceFile, ...]
    documents: tuple[SourceFile, ...]

    @property
    def model(self) -> tuple[SourceFile, ...]:
        """All that the model is made of."""
        return (*self.small, *self.weights)


def select(files: Mapping[str, SourceFile], *, index: "Index | None") -> Selection:
    """The needed files among those of a listing by name; shards are those that the index names."""
    shards = index.shards if index is not None else (SINGLE,)
    small = (*SMALL, INDEX) if index is not None else SMALL
    return Selection(
        small=_present(files, small),
        weights=_present(files, shards),
        documents=tuple(file for name, file in sorted(files.items()) if DOCUMENT.fullmatch(name)),
    )


@dataclass(frozen=True)
class Index:
    """Which shard holds which tensor."""

    weight_map: dict[str, str]

    @property
    def shards(self) -> tuple[str, ...]:
        """Shard names in order."""
        return tuple(sorted(set(self.weight_map.values())))


def parse_index(data: bytes) -> Index:
    """The content of model.safetensors.index.json; ValueError tells what is wrong."""
    loaded = json.loads(data)
    weight_map = loaded.get("weight_map") if isinstance(loaded, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError("has no weight_map of tensor names to shards")
    if not all(isinstance(shard, str) for shard in weight_map.values()):
        raise ValueError("weight_map has a shard that is no file name")
    return Index(weight_map)


def _present(files: Mapping[str, SourceFile], names: Iterable[str]) -> tuple[SourceFile, ...]:
    return tuple(files[name] for name in sorted(names) if name in files)
