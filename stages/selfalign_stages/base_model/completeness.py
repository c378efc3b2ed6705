"""Whether a base model's files have the tensors of all its layers, by their names alone. Pure.

Transformers knows exactly what a model needs, but takes seconds to load and is not part of the image that imports. The
layers of a model are alike, though, so that they can be compared with each other and with their number in config.json.
What this cannot see (a tensor that every layer lacks, say) vLLM and training refuse when they load the model.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from selfalign_stages.base_model.quoting import shown

MOST_NAMES = 5
"""Missing tensors that a message names."""
REMEDY = "the copy is incomplete: use a complete one"
LAYER_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
"""Names of the number of layers in config.json."""
_IN_LAYER = re.compile(r"(?P<stack>.*?)\.(?P<number>\d+)\.(?P<rest>.+)")
_NO_TEXT = re.compile(r"vision|visual|audio|image|speech|mtp", re.IGNORECASE)
"""Stacks of layers that read something else than text, or predict further tokens: a run does not use them."""
_BUFFER = re.compile(r"(inv_freq|masked_bias|(attn|attention)\.bias)$")
"""Constants that old checkpoints have beside the weights."""
_EMBEDDING = re.compile(r"embed|wte|word_embeddings", re.IGNORECASE)
_OUTPUT = re.compile(r"lm_head|embed_out|output|head", re.IGNORECASE)

Layers = dict[int, frozenset[str]]
"""Names of the tensors in each layer of a stack, without the part that all of a layer have in common."""


def missing(names: Iterable[str], config: Mapping[str, Any]) -> list[str]:
    """Returns the tensors that a model needs and its files lack; `*` stands for all of a layer.

    Args:
        names: tensors in the files; more than needed, such as those of a vision tower, do no harm.
        config: config.json.
    """
    listed = list(names)
    # Architectures that were searched by machine: each layer may lack other parts.
    if not listed or "block_configs" in config:
        return []
    stacks = _text_stacks(listed)
    stack = max(stacks, key=lambda one: len(stacks[one]), default="layers")
    # The number in config.json is that of passes where several stacks take turns, as in HRM.
    expected = _layer_count(config) if len(stacks) <= 1 else None
    return [*_outside_layers(listed, config), *_in_layers(stack, stacks.get(stack, {}), expected=expected)]


def problem(names: Iterable[str], config: Mapping[str, Any]) -> str | None:
    """Describes what `missing` finds, to go after the name of the file; None if it finds nothing."""
    lacking = missing(names, config)
    if not lacking:
        return None
    more = f" and {len(lacking) - MOST_NAMES} more" if len(lacking) > MOST_NAMES else ""
    return f"lacks {shown(', '.join(lacking[:MOST_NAMES]))}{more}; {REMEDY}"


def _outside_layers(names: list[str], config: Mapping[str, Any]) -> Iterator[str]:
    outside = [name for name in names if not _IN_LAYER.fullmatch(name)]
    if not any(_EMBEDDING.search(name) for name in outside):
        yield "the embedding"
    # Unless it is said to be a matrix of its own, the output layer may be the embedding.
    if config.get("tie_word_embeddings") is False and not any(_OUTPUT.search(name) for name in outside):
        yield "the output layer (lm_head)"


def _text_stacks(names: list[str]) -> dict[str, Layers]:
    """Returns the stacks of layers that read text, by the prefix that their tensors have in common."""
    stacks: dict[str, dict[int, set[str]]] = {}
    for name in names:
        match = _IN_LAYER.fullmatch(name)
        if match and not _NO_TEXT.search(match["stack"]) and not _BUFFER.search(match["rest"]):
            stacks.setdefault(match["stack"], {}).setdefault(int(match["number"]), set()).add(match["rest"])
    return {stack: {number: frozenset(rest) for number, rest in numbered.items()} for stack, numbered in stacks.items()}


def _layer_count(config: Mapping[str, Any]) -> int | None:
    text = config.get("text_config")
    for part in (text if isinstance(text, dict) else {}, config):
        for name in LAYER_COUNTS:
            if type(part.get(name)) is int:
                return int(part[name])
    return None


def _in_layers(stack: str, layers: Layers, *, expected: int | None) -> Iterator[str]:
    count = max(layers, default=-1) + 1 if expected is None else expected
    yield from (f"{stack}.{number}.*" for number in range(count) if number not in layers)
    kinds = Counter(layers.values())
    for number in sorted(layers):
        own = layers[number]
        # Several layers of one kind are meant to be so: some attend without keys of their own, or have no experts.
        if kinds[own] > 1:
            continue
        larger = [kind for kind, layers_of_it in kinds.items() if layers_of_it > 1 and own < kind]
        if larger:
            whole = min(larger, key=lambda kind: (len(kind), sorted(kind)))
            yield from (f"{stack}.{number}.{rest}" for rest in sorted(whole - own))
